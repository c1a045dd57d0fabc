# SPDX-License-Identifier: Apache-2.0
"""`make liars`: every lie, by real liars, and the table of docs/operations/liars.md.

    make liars
    make liars ARGS="--only two-heads-3 --only slow-1"

Ends with status 1 at the first lie of which something else became than the page says.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.liars.campaign import CASES, tell
from tests.liars.expected import EXPECTED
from tests.liars.judging import judge
from tests.liars.rig import standing
from tests.liars.table import row, table


def say(words: str) -> None:
    """To whoever waits."""
    sys.stderr.write(f"{words}\n")


def main() -> None:
    """Tell them all."""
    parser = argparse.ArgumentParser(prog="make liars", description=(__doc__ or "").split("\n")[0])
    names = [case.name for case in CASES]
    parser.add_argument("--only", action="append", choices=names, metavar="LIE-MEMBERS")
    wanted = parser.parse_args().only or names
    rows = []
    with TemporaryDirectory() as folder, standing(Path(folder)) as rig:
        for case in CASES:
            if case.name not in wanted:
                continue
            found = tell(rig, case, mirror_keeps="mirror" in EXPECTED[case].evidence)
            judge(rig, case, found)
            rows.append(row(case, monitor_s=found.monitor.seconds, mirror_s=found.mirror.seconds))
            say(f"as expected: {case.name}")
    sys.stdout.write(f"{table(rows)}\n")


if __name__ == "__main__":
    main()
