# SPDX-License-Identifier: Apache-2.0
"""`make deploy-try`: the shipped units under a real systemd, the shipped container file, built.

    make deploy-try                      all, a few minutes; the first run fetches a base system
    make deploy-try ARGS="units"         on a machine that systemd-nspawn boots
    make deploy-try ARGS="container"     by buildah, on a base image made here
    make deploy-try ARGS="operators"     four machines, each an operator of one board
    make deploy-try ARGS="operator-containers"

One line for each claim. Where the host lacks something it is named, and nothing is tried.
"""

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator

from tests.deploy import container, machine, operator_containers, operator_units, units


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


def _try(name: str, lacks: str | None, checks: Callable[[], Iterator[str]]) -> bool:
    if lacks:
        _say(f"NOT TRIED {name}: {lacks}")
        return True
    began = time.monotonic()
    try:
        for line in checks():
            _say(f"ok {line}, {time.monotonic() - began:.0f} s")
            began = time.monotonic()
    except machine.NotTried as why:
        _say(f"NOT TRIED {name}: {why}")
    except Exception:  # noqa: BLE001 - whatever it is, the claim does not hold
        _say(f"FAILED {name}\n{traceback.format_exc()}")
        return False
    return True


def main() -> int:
    """Try what the command line names; 1 if something failed."""
    parser = argparse.ArgumentParser(prog="make deploy-try", description=__doc__)
    tries: dict[str, Callable[[], bool]] = {
        "units": _try_units,
        "container": lambda: _try("container", container.missing(), container.checks),
        "operators": lambda: _try("operators", machine.missing(), operator_units.checks),
        "operator-containers": lambda: _try(
            "operator-containers", container.missing(), operator_containers.checks
        ),
    }
    parser.add_argument("what", nargs="?", choices=tuple(tries))
    what = parser.parse_args().what
    good = [run() for name, run in tries.items() if what in (None, name)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
