# SPDX-License-Identifier: Apache-2.0
"""The health check: a program of the device's owner, run after a new image was booted on trial."""

from collections.abc import Mapping, Sequence

from fieldpost.agent.commands import run_command
from fieldpost.errors import Unavailable


def run_health_check(
    command: Sequence[str], *, environment: Mapping[str, str], timeout_s: float
) -> str:
    """Run `command`: what is wrong, or "" if the image is healthy.

    A command that cannot be run counts as failed: an image that lost it is not healthy.
    """
    if not command:
        return ""
    try:
        ran = run_command(
            command, what="the health check", environment=environment, timeout_s=timeout_s
        )
    except Unavailable as failure:
        return str(failure)
    return f"the health check ended with status {ran.status}" if ran.status else ""
