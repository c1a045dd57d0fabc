# SPDX-License-Identifier: Apache-2.0
"""What was written and its clients have not taken: one room for all connections, of bounded size.

An answer stays in memory until the last byte of it is taken. One slow reader is ended by
`fieldpost.node.guarded`; this is about thousands at once, of which each takes just enough.

- When half of the room is taken, images go out in pieces so short that the other half has room
  for every connection: a fleet on slow lines is served, all of it. Settings that would leave a
  connection less than CALM_BYTES and a piece as short are refused (LEAST_UNSENT_BYTES_EACH).
- Answers that come in one piece can fill the room all the same. Then the client who holds most of
  it loses the connection that has waited longest, until the rest has room. So nobody is ended who
  holds less than whoever filled it. Who forwards for others (OWN) is a client for each connection.

With the node's own TLS, the first piece of what a client does not take (64 KiB of an image, or an
answer in one piece) waits between encryption and socket, where neither this nor the look at slow
readers sees it: strangers in thousands are better met by a proxy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fieldpost.node.clients import OWN
from fieldpost.node.config import Limits
from fieldpost.node.crowd import Guest

CALM_BYTES: Final = 16 * 1024
"""So much may wait on a connection before it is counted here. The system's own buffers are asked
first: an answer that they take does not wait."""


class Unsent:
    """The bytes that wait, by connection. For one thread.

    Of constant cost, unless somebody has to leave: then it is of the number that waits.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = limits.unsent_bytes
        # A short piece may come on top of what is not counted.
        each = limits.unsent_bytes // 2 // limits.connections
        self._short = each - CALM_BYTES
        self._reading = 0
        # In the order in which they began to wait.
        self._waiting: dict[Guest, tuple[str | Guest, int]] = {}
        self._of_client: dict[str | Guest, int] = {}
        self.bytes_held = 0
        self.ended = 0

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

    def hold(self, guest: Guest, client: str, count: int) -> list[Guest]:
        """A client leaves `count` bytes waiting; who must leave for it, already forgotten here."""
        self.release(guest)
        holder = guest if client == OWN else client
        self._waiting[guest] = holder, count
        self._of_client[holder] = self._of_client.get(holder, 0) + count
        self.bytes_held += count
        return self._make_room()

    def release(self, guest: Guest) -> None:
        """A client has taken most of what waited for it, or is gone."""
        holder, count = self._waiting.pop(guest, (OWN, 0))
        if not count:
            return
        self.bytes_held -= count
        left = self._of_client[holder] - count
        if left:
            self._of_client[holder] = left
        else:
            del self._of_client[holder]

    def _make_room(self) -> list[Guest]:
        leaving: list[Guest] = []
        # One answer alone may be larger than the room; it is bounded by itself.
        while self.bytes_held > self._most and len(self._waiting) > 1:
            greediest = max(self._of_client, key=self._of_client.__getitem__)
            held = self._waiting.items()
            guest = next(guest for guest, (holder, _) in held if holder == greediest)
            self.release(guest)
            leaving.append(guest)
        self.ended += len(leaving)
        return leaving
