# SPDX-License-Identifier: Apache-2.0
"""Turns of image streams: first come, first finished; none holds up the others, none starves."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fieldpost.node.turns import Turns

FOREVER = 1e6


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in a loop of its own."""

    def run() -> None:
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Stream:
    """A stream that stays in its turn until it is told to go on."""

    def __init__(self, turns: Turns, number: int, log: list[int]) -> None:
        self.inside = asyncio.Event()
        self.go_on = asyncio.Event()
        self.task = asyncio.create_task(self._run(turns, number, log))

    async def _run(self, turns: Turns, number: int, log: list[int]) -> None:
        async with turns.turn(number):
            log.append(number)
            self.inside.set()
            await self.go_on.wait()


@in_loop
async def test_who_asked_first_has_the_next_turn_whoever_waits_longer() -> None:
    turns, log = Turns(places=1, hold_s=FOREVER, patience_s=FOREVER), list[int]()
    first, second, third = (turns.number() for _ in range(3))
    streams = [Stream(turns, number, log) for number in (second, third, first)]
    await settle()
    assert log == [second]
    for stream in streams:
        stream.go_on.set()
    await asyncio.gather(*(stream.task for stream in streams))
    assert log == [second, first, third]


@in_loop
async def test_no_more_streams_have_a_turn_than_there_are_places() -> None:
    turns, log = Turns(places=2, hold_s=FOREVER, patience_s=FOREVER), list[int]()
    streams = [Stream(turns, turns.number(), log) for _ in range(5)]
    for served in range(5):
        await settle()
        assert len(log) == min(served + 2, 5)
        streams[served].go_on.set()
    await asyncio.gather(*(stream.task for stream in streams))


@in_loop
async def test_a_client_that_takes_its_piece_slowly_gives_its_place_away_and_once() -> None:
    turns, log = Turns(places=1, hold_s=0, patience_s=FOREVER), list[int]()
    slow = Stream(turns, turns.number(), log)
    await slow.inside.wait()
    other = Stream(turns, turns.number(), log)
    await asyncio.wait_for(other.inside.wait(), 60)
    slow.go_on.set()
    other.go_on.set()
    await asyncio.gather(slow.task, other.task)
    assert turns._free == 1


@in_loop
async def test_control_without_the_limit_of_a_hold_a_slow_client_keeps_the_others_out() -> None:
    turns, log = Turns(places=1, hold_s=FOREVER, patience_s=FOREVER), list[int]()
    slow = Stream(turns, turns.number(), log)
    await slow.inside.wait()
    other = Stream(turns, turns.number(), log)
    await settle()
    assert not other.inside.is_set()
    slow.go_on.set()
    other.go_on.set()
    await asyncio.gather(slow.task, other.task)


@in_loop
async def test_nobody_is_left_in_silence_and_who_goes_on_without_a_turn_takes_no_place() -> None:
    turns, log = Turns(places=1, hold_s=FOREVER, patience_s=0), list[int]()
    holder = Stream(turns, turns.number(), log)
    await holder.inside.wait()
    patient = [Stream(turns, turns.number(), log) for _ in range(3)]
    for stream in patient:
        await asyncio.wait_for(stream.inside.wait(), 60)
        stream.go_on.set()
    await asyncio.gather(*(stream.task for stream in patient))
    # The same stream asks again, while what it left behind still stands in line.
    again = Stream(turns, 1, log)
    await asyncio.wait_for(again.inside.wait(), 60)
    again.go_on.set()
    holder.go_on.set()
    await asyncio.gather(holder.task, again.task)
    assert turns._free == 1


@pytest.mark.parametrize("given", [False, True])
def test_a_stream_whose_client_went_away_passes_its_place_on(*, given: bool) -> None:
    """While it waits, and in the very moment in which it was given a place."""

    async def run() -> None:
        turns, log = Turns(places=1, hold_s=FOREVER, patience_s=FOREVER), list[int]()
        holder = Stream(turns, turns.number(), log)
        await holder.inside.wait()
        gone = Stream(turns, turns.number(), log)
        last = Stream(turns, turns.number(), log)
        await settle()
        if given:
            turns._pass_on()  # what the holder does when it leaves, before the loop turns
            gone.task.cancel()
        else:
            gone.task.cancel()
            await settle()
            holder.go_on.set()
        await asyncio.wait_for(last.inside.wait(), 60)
        last.go_on.set()
        holder.go_on.set()
        await asyncio.gather(holder.task, last.task)
        assert gone.task.cancelled()
        assert not gone.inside.is_set()

    asyncio.run(run())
