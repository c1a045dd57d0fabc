# SPDX-License-Identifier: Apache-2.0
"""Telling the service manager that started this program how far it is: sd_notify(3) of systemd.

So `systemctl start` returns when requests are served, and fails where they never will be. Without a
manager that asks (NOTIFY_SOCKET) nothing happens.
"""

import os
import socket
from contextlib import suppress

READY = "READY=1"
STOPPING = "STOPPING=1"


def notify(state: str) -> None:
    """Say READY or STOPPING. A manager that cannot be told is no reason not to serve."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    # An address that begins with @ is one of Linux's, without a file.
    where = address.replace("@", "\0", 1) if address[0] == "@" else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.connect(where)
        manager.sendall(state.encode("ascii"))
