# SPDX-License-Identifier: Apache-2.0
"""Telling the service manager that started this program how far it is: sd_notify(3) of systemd.

So `systemctl start` returns when requests are served, and fails where they never will be; a long
start is shown by `systemctl status`, and not ended for being long. Without a manager that asks
(NOTIFY_SOCKET) nothing happens.
"""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

READY: Final = "READY=1\nSTATUS="
STOPPING: Final = "STOPPING=1"
_WORD_S: Final = 1.0
# For units whose start has a limit; ours has none. Far more than one step of a rebuild takes.
_LONGER_S: Final = 120


def notify(state: str) -> None:
    """Say READY, STOPPING or a status. A manager that cannot be told is no reason not to serve."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    # An address that begins with @ is one of Linux's, without a file.
    where = address.replace("@", "\0", 1) if address[0] == "@" else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.connect(where)
        manager.sendall(state.encode("ascii"))


class Progress:
    """Follows entries that are applied again: tells the manager at most once a second, then `also`.

    `uptime` gives seconds since any moment.
    """

    def __init__(
        self, also: Callable[[int, int], None], uptime: Callable[[], float] = time.monotonic
    ) -> None:
        self._also = also
        self._uptime = uptime
        self._began = self._next = uptime()
        self._first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        """`done` entries of `total` are applied."""
        now = self._uptime()
        if self._first is None:
            self._first = done
        if now >= self._next:
            self._next = now + _WORD_S
            status = f"applies the log again: {done:,} of {total:,} entries"
            if done > self._first:
                left_s = (total - done) * (now - self._began) / (done - self._first)
                status += f", about {left_s / 60:.0f} min left" if left_s >= 60 else ""
            notify(f"STATUS={status}\nEXTEND_TIMEOUT_USEC={_LONGER_S * 1_000_000}")
        self._also(done, total)
