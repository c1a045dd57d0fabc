# SPDX-License-Identifier: Apache-2.0
"""Say in one line why this Python cannot set up Fieldpost, or say nothing.

Run by `make` with whatever `python3` is, so it must parse on interpreters far older than ours:
no syntax and no import that Python 3.6 lacks.
"""

import sys

LEAST = (3, 11)


def problem() -> str:
    """What is wrong with this interpreter and what to do about it; empty if nothing is."""
    found = tuple(sys.version_info[:2])
    if found < LEAST:
        return (
            "Fieldpost needs Python {}.{} or newer, and {} is {}.{}. "
            "Install a newer one and name it: make PYTHON=python3.12 ..."
        ).format(*LEAST, sys.executable, *found)
    try:
        import ensurepip
        import venv
    except ImportError:
        return (
            "This Python cannot make virtual environments. On Debian and Ubuntu: "
            "apt install python{}.{}-venv. Or name another one: make PYTHON=python3.12 ..."
        ).format(*found)
    del ensurepip, venv
    return ""


if __name__ == "__main__":
    complaint = problem()
    if complaint:
        sys.exit("setup: " + complaint)
