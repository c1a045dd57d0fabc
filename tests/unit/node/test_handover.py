# SPDX-License-Identifier: Apache-2.0
"""Calls from other threads reach the loop in order, wake it once, and never hurt their thread."""

import asyncio
import threading
from functools import partial

from fieldpost.node.handover import Handover


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often it is woken."""

    woken = 0

    def call_soon_threadsafe(self, *arguments, **named):  # type: ignore[no-untyped-def, override]
        self.woken += 1
        return super().call_soon_threadsafe(*arguments, **named)


def test_many_calls_come_in_order_and_wake_the_loop_once() -> None:
    loop = CountingLoop()
    handover, came, done = Handover(loop), list[int](), asyncio.Event()

    def bring() -> None:
        for number in range(1_000):
            handover.call(partial(came.append, number))
        handover.call(done.set)

    async def wait() -> None:
        thread = threading.Thread(target=bring)
        thread.start()
        # The loop does nothing meanwhile, as when it is busy.
        thread.join()
        await done.wait()

    loop.run_until_complete(wait())
    loop.close()
    assert came == list(range(1_000))
    assert loop.woken == 1


def test_calls_that_come_one_by_one_all_arrive() -> None:
    loop = asyncio.SelectorEventLoop()
    handover, came = Handover(loop), list[int]()

    async def one_by_one() -> None:
        for number in range(100):
            handover.call(partial(came.append, number))
            await asyncio.sleep(0)

    loop.run_until_complete(one_by_one())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert came == list(range(100))


def test_a_closed_loop_is_no_fault_of_whoever_calls() -> None:
    loop = asyncio.SelectorEventLoop()
    handover = Handover(loop)
    loop.close()
    handover.call(lambda: None)
    handover.call(lambda: None)
