# SPDX-License-Identifier: Apache-2.0
"""Memory that strangers may fill: so many bytes for all of them together, and who must leave.

When it is full, the client who holds most of it loses what it has kept there longest, until the
rest has room. So nobody loses anything who holds less than whoever filled it. Who forwards for
others (OWN) is a client for each guest.
"""

from typing import Generic, TypeVar

from fieldpost.node.clients import OWN
from fieldpost.node.crowd import Guest

G = TypeVar("G", bound=Guest)


class Room(Generic[G]):
    """The bytes that are held for each guest. For one thread.

    Of constant cost, unless somebody has to leave: then it is of the number of guests.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        # In the order in which they came.
        self._guests: dict[G, tuple[str | G, int]] = {}
        self._of_client: dict[str | G, int] = {}
        self.bytes_held = 0
        self.ended = 0

    def hold(self, guest: G, client: str, count: int) -> list[G]:
        """`count` bytes are held for a guest now; who must leave for it, already forgotten here."""
        if not count:
            self.release(guest)
            return []
        holder, before = self._guests.get(guest, (guest if client == OWN else client, 0))
        self._guests[guest] = holder, count
        self._of_client[holder] = self._of_client.get(holder, 0) + count - before
        self.bytes_held += count - before
        return self._make_room()

    def release(self, guest: G) -> None:
        """Nothing is held for a guest any more."""
        holder, count = self._guests.pop(guest, (OWN, 0))
        if not count:
            return
        self.bytes_held -= count
        left = self._of_client[holder] - count
        if left:
            self._of_client[holder] = left
        else:
            del self._of_client[holder]

    def _make_room(self) -> list[G]:
        leaving: list[G] = []
        # What one guest holds alone may be larger than the room; it is bounded by itself.
        while self.bytes_held > self._most and len(self._guests) > 1:
            greediest = max(self._of_client, key=self._of_client.__getitem__)
            held = self._guests.items()
            guest = next(guest for guest, (holder, _) in held if holder == greediest)
            self.release(guest)
            leaving.append(guest)
        self.ended += len(leaving)
        return leaving
