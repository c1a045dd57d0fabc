# SPDX-License-Identifier: Apache-2.0
"""What other threads bring reaches the loop in order, wakes it once, and never hurts them."""

import asyncio
import threading

from fieldpost.node.handover import Handover


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often it is woken."""

    woken = 0

    def call_soon_threadsafe(self, *arguments, **named):  # type: ignore[no-untyped-def, override]
        self.woken += 1
        return super().call_soon_threadsafe(*arguments, **named)


def test_many_things_come_in_order_and_wake_the_loop_once() -> None:
    loop = CountingLoop()
    came, done = list[list[tuple[str, int]]](), asyncio.Event()

    def hear(brought: list[tuple[str, int]]) -> None:
        came.append(brought)
        done.set()

    handover = Handover[str, int](loop, hear)

    def bring() -> None:
        for number in range(1_000):
            handover.bring("one", number)

    async def wait() -> None:
        thread = threading.Thread(target=bring)
        thread.start()
        # The loop does nothing meanwhile, as when it is busy.
        thread.join()
        await done.wait()

    loop.run_until_complete(wait())
    loop.close()
    assert came == [[("one", number) for number in range(1_000)]]
    assert loop.woken == 1


def test_things_that_come_one_by_one_all_arrive() -> None:
    loop = asyncio.SelectorEventLoop()
    came = list[tuple[str, int]]()
    handover = Handover[str, int](loop, came.extend)

    async def one_by_one() -> None:
        for number in range(100):
            handover.bring("one", number)
            await asyncio.sleep(0)

    loop.run_until_complete(one_by_one())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert came == [("one", number) for number in range(100)]


def test_a_closed_loop_is_no_fault_of_whoever_brings() -> None:
    loop = asyncio.SelectorEventLoop()
    heard = list[tuple[str, int]]()
    handover = Handover[str, int](loop, heard.extend)
    loop.close()
    handover.bring("one", 1)
    handover.bring("one", 2)
    assert heard == []
