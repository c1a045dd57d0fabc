# SPDX-License-Identifier: Apache-2.0
"""The health check: a program of the device's owner, run after a new image was booted on trial."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence


def run_health_check(
    command: Sequence[str], *, environment: Mapping[str, str], timeout_s: float
) -> str:
    """Run `command` in a session of its own: what is wrong, or "" if the image is healthy.

    A command that cannot be run counts as failed: an image that lost it is not healthy.
    """
    if not command:
        return ""
    try:
        program = subprocess.Popen(
            list(command),
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        return f"the health check cannot be run: {error.strerror}"
    try:
        status = program.wait(timeout_s)
    except subprocess.TimeoutExpired:
        # With everything that it started.
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        return f"the health check took more than {timeout_s:.0f} s"
    return f"the health check ended with status {status}" if status else ""
