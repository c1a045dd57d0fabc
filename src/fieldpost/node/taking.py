# SPDX-License-Identifier: Apache-2.0
"""Bodies that the HTTP protocol itself takes, without a task of the application.

A node under load takes thousands of small bodies a second, each of which waits for the disk, and a
task with its queues for each of them costs more than the ledger does. What takes them is a
`Taker`; the application's handlers ask it as well, so there are two ways in and one thing done.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Generic, Protocol, TypeVar

from starlette.responses import Response

from fieldpost.node.following import Follower
from fieldpost.node.handover import Handover

Respond = Callable[[Response], None]
Fate = TypeVar("Fate")


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


class Owed(Generic[Fate]):
    """Answers that are owed for bodies that were taken, none of them for longer than `most_s`.

    Any thread may bring what became of a body. All that is brought until the event loop looks is
    settled together: `settle` gets who is still owed an answer, and pays. Whom nobody paid in time
    is paid what `late` makes of the number of things in his body. All have the same time, so the
    first to be owed is the first to be late, and one timer does for all. Used on one event loop.
    """

    def __init__(
        self,
        most_s: float,
        *,
        settle: Callable[[list[tuple[Respond, Fate]]], None],
        late: Callable[[int], Response],
    ) -> None:
        self._most_s = most_s
        self._settle = settle
        self._late = late
        # When it will be too late for each, and for how many things, in this order.
        self._debts: dict[Respond, tuple[float, int]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._handover: Handover[Respond, Fate] | None = None

    def owe(self, respond: Respond, count: int = 1) -> Callable[[Fate], None]:
        """Somebody is owed an answer for `count` things; what to call with what became of them."""
        loop = asyncio.get_running_loop()
        if self._handover is None:
            self._handover = Handover(loop, self._hear)
        if self._timer is None:
            self._timer = loop.call_later(self._most_s, self._look)
        self._debts[respond] = loop.time() + self._most_s, count
        return partial(self._handover.bring, respond)

    def pay(self, respond: Respond, response: Response) -> None:
        """Give an answer to whoever is owed one; the first one counts."""
        if self._debts.pop(respond, None) is not None:
            respond(response)

    def _hear(self, brought: list[tuple[Respond, Fate]]) -> None:
        settled = [one for one in brought if one[0] in self._debts]
        if settled:
            self._settle(settled)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = takewhile(lambda debt: debt[1][0] <= now, list(self._debts.items()))
        try:
            for respond, (_, count) in late:
                self.pay(respond, self._late(count))
        finally:
            # Also where one cannot be answered: the others hear in the loop's next turn.
            first = next(iter(self._debts.values()), None)
            self._timer = None if first is None else loop.call_later(first[0] - now, self._look)


async def taken(taker: Taker, kind: str, body: bytes) -> Response:
    """The answer to a body, for a handler of the application."""
    answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def settle(response: Response) -> None:
        # Whoever went away does not take back what is being written.
        if not answer.done():
            answer.set_result(response)

    taker.take(kind, body, settle)
    return await answer
