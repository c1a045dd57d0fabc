# SPDX-License-Identifier: Apache-2.0
"""Running a program of the device's owner: no shell, a session of its own, an end in time.

What it is told stands in environment variables, never in a path or a command line, so no word of a
release can become part of either.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fieldpost.errors import Unavailable

_OUTPUT_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended: exit status (negative: the signal), and the start of its stdout."""

    status: int
    output: bytes


def run_command(
    command: Sequence[str],
    *,
    what: str,
    environment: Mapping[str, str],
    timeout_s: float,
    listens: bool = False,
) -> Ran:
    """Run `command`, called `what` in messages; with `listens` its stdout is kept.

    Raises Unavailable if it cannot be run, or takes too long: then it is killed, with everything
    that it started.
    """
    try:
        program = subprocess.Popen(
            list(command),
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if listens else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise Unavailable(f"{what} cannot be run: {words}") from error
    with program:
        try:
            output, _ = program.communicate(timeout=timeout_s)
        except BaseException as error:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise Unavailable(f"{what} took more than {timeout_s:.0f} s") from error
            raise
    return Ran(program.returncode, (output or b"")[:_OUTPUT_BYTES])
