# SPDX-License-Identifier: Apache-2.0
"""`make deploy-try`: the shipped units under a real systemd, the shipped container file, built.

    make deploy-try                      all, a few minutes; the first run fetches a base system
    make deploy-try ARGS="units"         on a machine that systemd-nspawn boots
    make deploy-try ARGS="container"     by buildah, on a base image made here

One line for each claim. Where the host lacks something it is named, and nothing is tried.
"""

import argparse
import sys
import time
import traceback

from tests.deploy import container, machine, units


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _try_units() -> bool:
    lacks = machine.missing()
    if lacks:
        _say(f"NOT TRIED units: {lacks}")
        return True
    with machine.booted(*units.USERS) as made:
        for check in units.CHECKS:
            began = time.monotonic()
            claim = check.__name__.replace("_", " ")
            try:
                check(made)
            except machine.NotTried as why:
                _say(f"NOT TRIED {claim}: {why}")
            except Exception:  # noqa: BLE001 - whatever it is, the claim does not hold
                _say(f"FAILED {claim}\n{traceback.format_exc()}")
                return False
            else:
                _say(f"ok {claim}, {time.monotonic() - began:.0f} s")
    return True


def _try_container() -> bool:
    lacks = container.missing()
    if lacks:
        _say(f"NOT TRIED container: {lacks}")
        return True
    try:
        for line in container.checks():
            _say(f"ok {line}")
    except Exception:  # noqa: BLE001 - whatever it is, the claim does not hold
        _say(f"FAILED container\n{traceback.format_exc()}")
        return False
    return True


def main() -> int:
    """Try what the command line names; 1 if something failed."""
    parser = argparse.ArgumentParser(prog="make deploy-try", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("units", "container"))
    what = parser.parse_args().what
    good = [
        run()
        for name, run in (("units", _try_units), ("container", _try_container))
        if what in (None, name)
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
