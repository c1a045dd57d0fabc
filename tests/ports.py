# SPDX-License-Identifier: Apache-2.0
"""Ports of loopback for programs that are told theirs before they start.

Between the choice and the program's own bind a while passes. So these are none that the kernel
gives to whoever connects somewhere or asks for any port (32,768 and more); the processes of one
pytest choose from ranges that do not meet; and a port comes again only after all others.
"""

import os
import socket
from collections.abc import Iterator
from itertools import cycle
from typing import Final

_FIRST: Final = 20_000
_END: Final = 32_000


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    for _ in _MINE:
        port = next(_turn)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"somebody listens on every port of {_MINE}")


def free_ports(count: int) -> list[int]:
    """So many, all different."""
    return [free_port() for _ in range(count)]


def _slice() -> range:
    """The ports of this process of pytest."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = (_END - _FIRST) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return range(_FIRST + worker * size, _FIRST + (worker + 1) * size)


_MINE: Final = _slice()
# From elsewhere in each process, since other checkouts may be tested on the machine too.
_start: Final = os.getpid() * 7_919 % len(_MINE)
_turn: Final[Iterator[int]] = cycle([*_MINE[_start:], *_MINE[:_start]])
