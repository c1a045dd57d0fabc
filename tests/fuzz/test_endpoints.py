# SPDX-License-Identifier: Apache-2.0
"""Whatever is asked of a node, it answers as documented and never with a fault of its own.

`make fuzz ARGS="mutations --only endpoint"` asks 100,000 changed requests of each endpoint.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from starlette.requests import Request as Asked
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.node.api import lots
from tests.fuzz.campaign import Fault
from tests.fuzz.endpoints import ENDPOINTS, Board, name_of, open_board

COUNT = 40


def on_a_board(scene: Callable[[Board], Awaitable[None]]) -> None:
    async def run(board: Board) -> None:
        await board.fill()
        await scene(board)

    with open_board() as node:
        asyncio.run(run(Board(node)))


def test_every_endpoint_of_a_node_is_fed_with_requests_that_are_true() -> None:
    """A new route fails here until tests/fuzz/true_requests.py has a request for it."""

    async def ask_all(board: Board) -> None:
        served = {name_of(r.path.replace(":path}", "}"), r) for r in board.routes}
        assert served == set(ENDPOINTS) == set(board.requests)
        for name, requests in board.requests.items():
            assert (await board.feed(name, requests[0])).status < 400, name

    on_a_board(ask_all)


def test_changed_requests_get_documented_answers() -> None:
    statuses: Counter[int] = Counter()

    async def change(board: Board) -> None:
        for name in ENDPOINTS:
            statuses.update(await board.feed_mutations(name, COUNT))

    on_a_board(change)
    assert statuses.total() == COUNT * len(ENDPOINTS)
    assert {200, 204, 400, 404, 405, 415} <= set(statuses), "changes reach further than routing"


@pytest.mark.parametrize("answer", ["fault", "undocumented", "bare"])
def test_a_handler_that_breaks_is_found(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """The control: an exception, an undocumented status, and a problem without its document."""

    async def broken(_request: Asked) -> Response:
        if answer == "fault":
            raise KeyError("a lot")
        return Response(b"no", 418 if answer == "undocumented" else 404)

    path = "/v1/lots/{lot}"
    monkeypatch.setattr(lots, "routes", [Route(path, broken), *lots.routes[1:]])

    async def meet(board: Board) -> None:
        name = next(name for name in ENDPOINTS if name.endswith(path))
        with pytest.raises(Fault, match=r"500|418|without a problem"):
            await board.feed(name, board.requests[name][0])

    on_a_board(meet)
