# SPDX-License-Identifier: Apache-2.0
"""Run a program that dies with whoever started it, however that ends.

    python -I -S leash.py PARENT PROGRAM ARGUMENT...

A CometBFT that outlives its board's process would hold ports and data against the next one. The
kernel sends SIGKILL as soon as the thread that started this process ends; CometBFT survives that as
it survives a power cut. Linux alone can do it; elsewhere the program ends by itself when it misses
its application.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def run_on_leash(parent: int, command: list[str]) -> None:
    """Become `command`. Returns only if `parent` is gone already, or raises OSError."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # It may have died before the kernel was told.
    if os.getppid() == parent:
        os.execv(command[0], command)  # noqa: S606 - a list of arguments, and our own


if __name__ == "__main__":
    run_on_leash(int(sys.argv[1]), sys.argv[2:])
