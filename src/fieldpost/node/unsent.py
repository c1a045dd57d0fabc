# SPDX-License-Identifier: Apache-2.0
"""What was written and its clients have not taken: one room for all connections, of bounded size.

An answer stays in memory until the last byte of it is taken. One slow reader is ended by
`fieldpost.node.guarded`; this is about thousands at once, of which each takes just enough.

- When half of the room is taken, images go out in pieces so short that the other half has room
  for every connection: a fleet on slow lines is served, all of it. Settings that would leave a
  connection less than CALM_BYTES and a piece as short are refused (LEAST_UNSENT_BYTES_EACH).
- Answers that come in one piece can fill the room all the same. Then the client who holds most of
  it loses the connection that has waited longest (`fieldpost.node.room`).

With the node's own TLS, the first piece of what a client does not take (64 KiB of an image, or an
answer in one piece) waits between encryption and socket, where neither this nor the look at slow
readers sees it: strangers in thousands are better met by a proxy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fieldpost.node.config import Limits
from fieldpost.node.crowd import Guest
from fieldpost.node.room import Room

CALM_BYTES: Final = 16 * 1024
"""So much may wait on a connection before it is counted here. The system's own buffers are asked
first: an answer that they take does not wait."""


class Unsent(Room[Guest]):
    """The bytes that wait, by connection."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits.unsent_bytes)
        # A short piece may come on top of what is not counted.
        each = limits.unsent_bytes // 2 // limits.connections
        self._short = each - CALM_BYTES
        self._reading = 0

    @contextmanager
    def piece(self, usual: int) -> Iterator[int]:
        """How long the next piece of an image may be, which is read and written inside the block.

        It is `usual` as long as there is room for everybody's.
        """
        has_room = self.bytes_held + self._reading + usual <= self._most // 2
        count = usual if has_room else min(usual, self._short)
        self._reading += count
        try:
            yield count
        finally:
            self._reading -= count
