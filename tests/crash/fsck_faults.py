# SPDX-License-Identifier: Apache-2.0
"""`board fsck` where the scratch folder takes no more writes, from one write on, whichever it is.

    LD_PRELOAD=failing.so python -m tests.crash.fsck_faults DATA EDQUOT --step 9

Prints, as JSON, what each check came to: the error's class, or the files that it named.
"""

import argparse
import ctypes
import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path

from fieldpost.errors import Unavailable
from fieldpost.watch.fsck import check_folder
from tests.unit.watch.test_fsck import reader, silent


def main(words: Sequence[str] | None = None) -> None:
    """All checks, in the process into which the library was preloaded."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("error")
    parser.add_argument("--step", type=int, default=1)
    wanted = parser.parse_args(words)
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    library.failing_last.restype = ctypes.c_char_p
    library.failing_only(b"write")
    library.failing_ever(1)
    told: list[str | list[str]] = []
    at = 0
    while not told or library.failing_last():
        number = ctypes.c_long(at)
        library.failing_arm(b"fieldpost-audit-", number, getattr(errno, wanted.error), 0)
        try:
            report = check_folder(wanted.data, reader(wanted.data / "log"), progress=silent)
            told.append([one.file for one in report.damaged])
        except Unavailable as error:
            told.append(type(error).__name__)
        at += wanted.step
    print(json.dumps(told))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
