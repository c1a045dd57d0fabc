# SPDX-License-Identifier: Apache-2.0
"""Whoever brought a body is answered once: with what became of it, or in time that it is late."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from starlette.responses import Response

from fieldpost.node.taking import Owed, Respond
from tests.unit.node.still_connection import Loop

MOST_S = 5.0


class Debtor:
    """Owes answers; what it paid, and what was settled together."""

    def __init__(self) -> None:
        self.together: list[list[str]] = []
        self.owed: Owed[str] = Owed(MOST_S, settle=self._settle, late=self._late)

    def _settle(self, settled: list[tuple[Respond, str]]) -> None:
        self.together.append([what for _, what in settled])
        for respond, what in settled:
            self.owed.pay(respond, Response(what))

    def _late(self, count: int) -> Response:
        return Response(f"late: {count}")


def hearing() -> tuple[list[bytes], Respond]:
    heard: list[bytes] = []
    return heard, lambda response: heard.append(bytes(response.body))


def test_what_is_brought_before_the_loop_looks_is_settled_together() -> None:
    async def run() -> None:
        debtor = Debtor()
        heard, respond = hearing()
        others, respond_too = hearing()
        bring = [debtor.owed.owe(respond), debtor.owed.owe(respond_too)]
        thread = threading.Thread(target=lambda: [b(f"{n}") for n, b in enumerate(bring)])
        thread.start()
        thread.join()
        assert heard == []
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (debtor.together, heard, others) == ([["0", "1"]], [b"0"], [b"1"])

    asyncio.run(run())


def on(loop: Loop, call: Callable[[], object]) -> None:
    """Call something as if `loop` ran."""
    asyncio._set_running_loop(loop)  # type: ignore[arg-type]
    try:
        call()
    finally:
        asyncio._set_running_loop(None)


def test_who_is_late_hears_so_in_his_turn_and_one_timer_does_for_all() -> None:
    debtor, loop = Debtor(), Loop()
    first, respond = hearing()
    second, respond_second = hearing()
    paid, respond_paid = hearing()
    on(loop, lambda: debtor.owed.owe(respond_paid))
    on(loop, lambda: debtor.owed.owe(respond, 7))
    loop.now += 2
    on(loop, lambda: debtor.owed.owe(respond_second))
    debtor.owed.pay(respond_paid, Response("done"))
    assert [delay for delay, _, _ in loop.timers] == [MOST_S]
    loop.now += MOST_S - 2
    on(loop, loop.timers[0][1])
    assert (first, second, paid) == ([b"late: 7"], [], [b"done"])
    assert [delay for delay, _, _ in loop.timers] == [MOST_S, 2]
    loop.now += 2
    on(loop, loop.timers[1][1])
    assert (first, second, paid) == ([b"late: 7"], [b"late: 1"], [b"done"])
    assert len(loop.timers) == 2, "nobody is owed anything"


def test_one_who_cannot_be_answered_keeps_no_other_waiting() -> None:
    debtor, loop = Debtor(), Loop()
    heard, respond = hearing()

    def broken(_response: Response) -> None:
        raise RuntimeError("a bug")

    on(loop, lambda: debtor.owed.owe(broken))
    on(loop, lambda: debtor.owed.owe(respond))
    loop.now += MOST_S
    with pytest.raises(RuntimeError):
        on(loop, loop.timers[0][1])
    on(loop, loop.timers[1][1])
    assert heard == [b"late: 1"]


def test_what_comes_too_late_is_neither_settled_nor_said() -> None:
    async def run() -> None:
        debtor = Debtor()
        heard, respond = hearing()
        bring = debtor.owed.owe(respond)
        debtor.owed.pay(respond, Response("late"))
        bring("done")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        debtor.owed.pay(respond, Response("again"))
        assert (debtor.together, heard) == ([], [b"late"])

    asyncio.run(run())
