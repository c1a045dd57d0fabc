# SPDX-License-Identifier: Apache-2.0
"""Who is connected: a limit on all connections, and on those of one client.

When all places are taken, the connection that has waited longest for a request gives up its place,
so that thousands of idle ones, or of headers that never end, keep nobody out. Connections with a
request under way are left alone.
"""

from typing import Protocol

from fieldpost.node.clients import OWN


class Guest(Protocol):
    """A connection, as far as this matters."""

    def leave(self) -> None:
        """End at once."""
        ...


class Crowd:
    """The connections of a server. For one thread; every method is of constant cost."""

    def __init__(self, *, most: int, most_per_client: int) -> None:
        self.most = most
        self._most_per_client = most_per_client
        self._clients: dict[str, int] = {}
        self._waiting: dict[Guest, None] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many are connected."""
        return self._count

    def enter(self, guest: Guest, client: str) -> bool:
        """Whether a new connection may stay; another may have to leave for it.

        Who may not stay has not entered, and does not `go`.
        """
        count = self._clients.get(client, 0)
        if client != OWN and count >= self._most_per_client:
            return False
        if self._count >= self.most and not self._make_room():
            return False
        self._clients[client] = count + 1
        self._count += 1
        self._waiting[guest] = None
        return True

    def go(self, guest: Guest, client: str) -> None:
        """A connection that had entered has ended."""
        self._waiting.pop(guest, None)
        left = self._clients.get(client, 0) - 1
        self._count -= 1
        if left > 0:
            self._clients[client] = left
        else:
            self._clients.pop(client, None)

    def wait(self, guest: Guest) -> None:
        """It waits for its next request from now on, behind all that waited before."""
        self._waiting.pop(guest, None)
        self._waiting[guest] = None

    def serve(self, guest: Guest) -> None:
        """A request of it is under way."""
        self._waiting.pop(guest, None)

    def _make_room(self) -> bool:
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        del self._waiting[longest]
        longest.leave()
        return True
