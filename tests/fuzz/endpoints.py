# SPDX-License-Identifier: Apache-2.0
"""Every endpoint of a node, fed with changed requests: the real application over a real board.

Endpoints come from the routes themselves. Each has true requests to begin with; whatever comes of
changing them is answered with a status that docs/reference/openapi.json has for it, and never with
500. Errors are problem documents that say what to do.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

from starlette.routing import Match, Route

from fieldpost.node.app import Node, open_node
from fieldpost.node.clients import OWN
from fieldpost.node.config import Limits, NodeConfig
from tests.fuzz import seeds
from tests.fuzz.campaign import Fault
from tests.fuzz.requests import Request, mutate_request
from tests.fuzz.true_requests import true_requests
from tests.unit.node.asked import Answered, ask, path_of
from tests.unit.node.running_node import NOW
from tools import write_openapi

PREFIX: Final = "endpoint"
FRESH: Final = 10_000
"""So many requests to one board; then a new one, in which uploads are not yet complete."""
_PROBLEM: Final = b"application/problem+json"
_BREAKS: Final = frozenset(b"\r\n\0")


def name_of(path: str, route: Route) -> str:
    """An endpoint's name: its methods and its path as OpenAPI writes it."""
    return f"{PREFIX} {'|'.join(sorted(route.methods or ()))} {path}"


ENDPOINTS: Final = tuple(name_of(path, route) for path, route in write_openapi.routes())


@cache
def _documented() -> dict[tuple[str, str], frozenset[int]]:
    paths: dict[str, dict[str, Any]] = write_openapi.document()["paths"]
    return {
        (path, method.upper()): frozenset(map(int, operation["responses"])) - {500}
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


class Board:
    """A node in this process, with one of everything on its board, and the true requests to it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.routes = [route for route in node.app.routes if isinstance(route, Route)]
        self.requests: dict[str, tuple[Request, ...]] = {}

    async def fill(self) -> None:
        """Post and upload what the true requests are about."""
        found = await true_requests(self._node)
        self.requests = {f"{PREFIX} {name}": rows for name, rows in found.items()}

    async def feed(self, name: str, request: Request) -> Answered:
        """Ask, and judge the answer. Raises Fault."""
        try:
            answered = await ask(
                self._node.app,
                request.method,
                request.target,
                headers=request.headers,
                body=request.parts(),
                client=OWN,
            )
        except Exception as error:
            raise Fault(name, request.encode(), f"{type(error).__name__}: {error}") from error
        wrong = self._wrong(request, answered)
        if wrong:
            raise Fault(name, request.encode(), wrong)
        return answered

    async def feed_mutations(self, name: str, count: int, *, seed: str = "0") -> Counter[int]:
        """`count` changed requests to one endpoint; how often each status came. Raises Fault."""
        random, others = Random(f"{name} {seed}"), seeds.everything()
        kin = [request for rows in self.requests.values() for request in rows]
        statuses: Counter[int] = Counter()
        for _ in range(count):
            request = mutate_request(random, random.choice(self.requests[name]), kin, others)
            statuses[(await self.feed(name, request)).status] += 1
        return statuses

    def _wrong(self, request: Request, answered: Answered) -> str:
        status, method = answered.status, request.method
        if status not in self._admitted(request):
            return f"{status} is not documented here: {answered.body[:300]!r}"
        if any(not _BREAKS.isdisjoint(name + value) for name, value in answered.headers.items()):
            return "a header with a line break"
        if status >= 400 and method != "HEAD":
            if answered.headers.get(b"content-type") != _PROBLEM:
                return f"{status} without a problem document"
            problem = json.loads(answered.body)
            if problem["status"] != status or not problem["next"]:
                return f"{status} with another problem: {problem}"
        return ""

    def _admitted(self, request: Request) -> frozenset[int]:
        """The statuses of the endpoint that a request reaches, which may be another, or none."""
        scope = {
            "type": "http",
            "method": request.method,
            "path": path_of(request.path),
            "root_path": "",
        }
        matches = {route.matches(scope)[0]: route for route in reversed(self.routes)}
        if Match.FULL in matches:
            path = matches[Match.FULL].path.replace(":path}", "}")
            return _documented()[path, request.method]
        # A path that lacks a slash, or has one too many, is sent on to the right one.
        return frozenset({405}) if Match.PARTIAL in matches else frozenset({404, 307})


@contextmanager
def open_board() -> Iterator[Node]:
    """A new node over a folder that is removed at the end."""
    limits = Limits(body_silence_s=20.0, reserve_bytes=1)
    with TemporaryDirectory() as folder:
        config = NodeConfig(data=Path(folder) / "data", limits=limits)
        with open_node(config, clock=lambda: NOW) as node:
            yield node


def feed_mutations(name: str, count: int, *, seed: int = 0) -> Counter[int]:
    """`count` changed requests to one endpoint; how often each status came. Raises Fault."""
    statuses: Counter[int] = Counter()
    for done in range(0, count, FRESH):
        with open_board() as node:
            board, some = Board(node), min(FRESH, count - done)
            statuses += asyncio.run(_feed_new(board, name, some, f"{seed} {done}"))
    return statuses


async def _feed_new(board: Board, name: str, count: int, seed: str) -> Counter[int]:
    await board.fill()
    return await board.feed_mutations(name, count, seed=seed)
