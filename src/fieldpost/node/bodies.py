# SPDX-License-Identifier: Apache-2.0
"""What came of bodies that are not whole: one room for all connections, of bounded size.

A body stays in memory until its last byte is there. One that stops or drips is ended by its times;
this is about hundreds at once, of which each goes on just fast enough.

- Bytes count when they came, not when they are announced: who says much and sends nothing holds
  nothing. A body that comes whole with its header, on the short way, is never counted.
- When the room is full, the client who holds most of it loses the body that began first
  (`fieldpost.node.room`). It is answered 503, to be sent again; where no answer can be written,
  as behind another request of its connection, the connection ends.
- What is given to its taker, or written to the disk on its way, is held here no more: engine, fleet
  and uploads have limits of their own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from fieldpost.errors import Unavailable
from fieldpost.node.clients import OWN
from fieldpost.node.config import Limits
from fieldpost.node.room import Room

_KEY: Final = "fieldpost.body"
_RETRY_S: Final = 5


class Bodies(Room["Body"]):
    """The bytes of bodies under way, by request."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits.bodies_bytes)


class Body:
    """One body under way: a guest of the room, which `refuse` ends if it must leave."""

    __slots__ = ("_bodies", "_client", "_is_over", "_refuse", "count", "is_refused")

    def __init__(self, bodies: Bodies, client: str, refuse: Callable[[], None]) -> None:
        self._bodies = bodies
        self._client = client
        self._refuse = refuse
        self.count = 0
        self.is_refused = False
        self._is_over = False

    def add(self, count: int) -> list["Body"]:
        """So many bytes more are held; who must leave for them.

        It may be this one, in the middle of what it reads.
        """
        if self.is_refused or self._is_over:
            return []
        self.count += count
        leaving = self._bodies.hold(self, self._client, self.count)
        for body in leaving:
            # Before its turn to leave comes, more of it may come, which needs no room.
            body.is_refused = True
        return leaving

    def pass_on(self, count: int) -> None:
        """So many bytes went where they were to go."""
        if not (self.is_refused or self._is_over):
            self.count -= count
            self._bodies.hold(self, self._client, self.count)

    def release(self) -> None:
        """Nothing is held of it any more: it is whole and taken, or over."""
        self._is_over = True
        self._bodies.release(self)
        self._refuse = _stay

    def leave(self) -> None:
        """See Guest; for those that `add` named."""
        self._refuse()

    def check(self) -> None:
        """Check that it was not refused. Raises Unavailable."""
        if self.is_refused:
            raise no_room()

    @contextmanager
    def refused_by(self, refuse: Callable[[], None]) -> Iterator[None]:
        """Inside the block this ends it."""
        before, self._refuse = self._refuse, refuse
        try:
            yield
        finally:
            self._refuse = before


def no_room() -> Unavailable:
    """What is said to whom a body is refused."""
    return Unavailable("too much of other bodies is under way; send the same again", _RETRY_S)


def body_of(scope: Any) -> Body:
    """The body of a request of the application.

    `begin_body` put it there; for a request that no server of ours began it has a room of its own.
    """
    if _KEY not in scope:
        begin_body(scope, Body(Bodies(Limits()), OWN, _stay))
    body = scope[_KEY]
    assert isinstance(body, Body)
    return body


def begin_body(scope: Any, body: Body) -> None:
    """A request of the application begins."""
    scope[_KEY] = body


def releasing(app: ASGIApp) -> ASGIApp:
    """The application, which holds nothing of a body once its request is over."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        finally:
            body_of(scope).release()

    return serve


def _stay() -> None:
    """What is over is ended by nobody."""
