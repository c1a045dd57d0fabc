# SPDX-License-Identifier: Apache-2.0
"""Who is sent the next piece of an image while all want one: whoever asked first.

When a release goes out, a fleet asks at once. If all are served alike, all end together, and late;
if those who came first are finished first, the last ends no later and the mean wait is half. So a
few streams at a time have a turn, from reading a piece until it is sent. A client that takes it
slowly costs nobody more than `HOLD_S` of it; and nobody is left in silence: after `PATIENCE_S`
a stream goes on without a turn, as all would without this.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count
from typing import Final

PLACES: Final = 4
HOLD_S: Final = 0.02
# Agents give up a source that is silent for 10 s.
PATIENCE_S: Final = 3.0


class Turns:
    """The turns of one event loop."""

    def __init__(
        self, *, places: int = PLACES, hold_s: float = HOLD_S, patience_s: float = PATIENCE_S
    ) -> None:
        self._free = places
        self._hold_s = hold_s
        self._patience_s = patience_s
        # The lowest number is the next. A second number tells those apart that a stream left behind
        # when its patience was over.
        self._waiting: list[tuple[int, int, asyncio.Future[bool]]] = []
        self._numbers = count()

    def number(self) -> int:
        """The place in line of a stream that begins now."""
        return next(self._numbers)

    @asynccontextmanager
    async def turn(self, number: int) -> AsyncIterator[None]:
        """A turn of the stream with this number, or its patience is over."""
        if not await self._wait(number):
            yield
            return
        held = [True]
        timer = asyncio.get_running_loop().call_later(self._hold_s, self._leave, held)
        try:
            yield
        finally:
            timer.cancel()
            self._leave(held)

    async def _wait(self, number: int) -> bool:
        """Whether there is a place now; else the patience is over."""
        if self._free:
            self._free -= 1
            return True
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[bool] = loop.create_future()
        heappush(self._waiting, (number, self.number(), mine))
        timer = loop.call_later(self._patience_s, _settle, mine, False)  # noqa: FBT003 - positional
        try:
            return await mine
        except asyncio.CancelledError:
            # A place that was given in the same moment goes to the next.
            if not mine.cancelled() and mine.result():
                self._pass_on()
            raise
        finally:
            timer.cancel()

    def _leave(self, held: list[bool]) -> None:
        """Give the place of a turn to the next, once."""
        if held:
            held.clear()
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            *_, next_one = heappop(self._waiting)
            if _settle(next_one, True):  # noqa: FBT003 - as above
                return
        self._free += 1


def _settle(waiting: asyncio.Future[bool], has_place: bool) -> bool:  # noqa: FBT001 - called by a timer
    """Whether somebody still waits, who is told now."""
    if waiting.done():
        return False
    waiting.set_result(has_place)
    return True
