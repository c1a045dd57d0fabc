# SPDX-License-Identifier: Apache-2.0
"""Bodies that the HTTP protocol itself takes, without a task of the application.

A node under load takes thousands of small bodies a second, each of which waits for the disk, and a
task with its queues for each of them costs more than the ledger does. What takes them is a
`Taker`; the application's handlers ask it as well, so there are two ways in and one thing done.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.responses import Response

from fieldpost.node.following import Follower

Respond = Callable[[Response], None]


class Taker(Protocol):
    """What takes whole bodies at one path. On the event loop; nothing here may block."""

    def most_bytes(self, kind: str) -> int:
        """How long a body of this content type may be; 0 for a type that is not taken."""
        ...

    def take(self, kind: str, body: bytes, respond: Respond) -> None:
        """Take a body of an admitted type; `respond` is called once, on the event loop."""
        ...


@dataclass(frozen=True, slots=True)
class ShortWay:
    """What the protocol may take itself, by raw path."""

    takers: Mapping[bytes, Taker]
    follower: Follower


class Waiting:
    """Somebody who is owed one answer; the first one counts."""

    __slots__ = ("_respond", "_timer")

    def __init__(self, respond: Respond) -> None:
        self._respond: Respond | None = respond
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_answered(self) -> bool:
        """Whether it is too late for an answer."""
        return self._respond is None

    def expect(
        self, loop: asyncio.AbstractEventLoop, most_s: float, late: Callable[[], None]
    ) -> None:
        """Call `late` unless there is an answer within `most_s` seconds."""
        if self._respond is not None:
            self._timer = loop.call_later(most_s, late)

    def answer(self, response: Response) -> None:
        """Give the answer."""
        respond, self._respond = self._respond, None
        if self._timer is not None:
            self._timer.cancel()
        if respond is not None:
            respond(response)


async def taken(taker: Taker, kind: str, body: bytes) -> Response:
    """The answer to a body, for a handler of the application."""
    answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def settle(response: Response) -> None:
        # Whoever went away does not take back what is being written.
        if not answer.done():
            answer.set_result(response)

    taker.take(kind, body, settle)
    return await answer
