# SPDX-License-Identifier: Apache-2.0
"""The servers whose endpoints are fed: a node, a mirror of it, a witness, and `/v1/light`.

Each is the application that its program serves, over real data in a folder of its own, with true
requests to every endpoint and the statuses that the documents admit. A fleet service alone serves
the node's own handlers.
"""

import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from starlette.applications import Starlette
from starlette.routing import Route

from fieldpost import cbor
from fieldpost.engines.cometbft.light import LightData
from fieldpost.node.api import health, light, posts, problems
from fieldpost.node.app import BOARD_NOUNS, FLEET_NOUNS, Node, open_node
from fieldpost.node.config import Limits, NodeConfig
from fieldpost.node.server import Server
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.note import format_base64
from fieldpost.tlog.proof import prove_consistency
from fieldpost.tlog.witness import format_add_checkpoint
from fieldpost.watch.mirror_node import MirrorSettings, open_mirror
from fieldpost.watch.witness.app import open_witness
from fieldpost.watch.witness.keys import make_keys
from fieldpost.watch.witness.sources import BoardSource
from tests.fuzz import seeds
from tests.fuzz.requests import Request
from tests.fuzz.true_requests import get, send, true_requests
from tests.unit.node.asked import ask
from tests.unit.node.running_node import NOW
from tests.unit.watch.witness_world import NAME, ToyLog
from tests.unit.watch.witnessed_board import WitnessedBoard
from tools import write_openapi

LIMITS: Final = Limits(reserve_bytes=1)
WAIT_S: Final = 120
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Run = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs on the event loop that will ask: what serves is bound to the first that it hears of."""
Requests = Mapping[str, tuple[Request, ...]]
Statuses = frozenset[int]


@dataclass(frozen=True, slots=True)
class Service:
    """A server that is fed. `requests` by endpoint, as `GET|HEAD /v1/board`.

    `documented`: what a path (as its route writes it) and method may be answered with; `elsewhere`:
    what a method may be answered with where no endpoint takes it.
    """

    app: Starlette
    limits: Limits
    requests: Requests
    documented: Callable[[str, str], Statuses]
    elsewhere: Callable[[str], Statuses] = lambda _: frozenset()

    @property
    def routes(self) -> list[Route]:
        """What the application serves."""
        return [route for route in self.app.routes if isinstance(route, Route)]


def endpoint(route: Route) -> str:
    """An endpoint's name: its methods and its path as OpenAPI writes it."""
    path = route.path.replace(":path}", "}")
    return f"{'|'.join(sorted(route.methods or ()))} {path}"


# --- node ---


@cache
def _openapi() -> dict[tuple[str, str], Statuses]:
    paths: dict[str, dict[str, Any]] = write_openapi.document()["paths"]
    return {
        (path, method.upper()): frozenset(map(int, operation["responses"])) - {500}
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


@contextmanager
def node(run: Run) -> Iterator[Service]:
    """A node with one of everything on its board."""
    with _filled_node(run) as (made, requests):
        yield Service(made.app, LIMITS, requests, lambda path, method: _openapi()[path, method])


@contextmanager
def _filled_node(run: Run) -> Iterator[tuple[Node, Requests]]:
    with TemporaryDirectory() as folder:
        config = NodeConfig(data=Path(folder) / "data", limits=LIMITS)
        with open_node(config, clock=lambda: NOW) as made:
            yield made, run(true_requests(made))


# --- mirror ---


@contextmanager
def mirror(run: Run) -> Iterator[Service]:
    """A mirror, with its images, of such a node."""
    with _filled_node(run) as (source, requests), TemporaryDirectory() as folder:
        ready = threading.Event()
        server = Server(source.app, listen=[("127.0.0.1", 0)], limits=LIMITS, on_ready=ready.set)
        serving = threading.Thread(target=server.run)
        serving.start()
        try:
            assert ready.wait(WAIT_S)
            settings = MirrorSettings(
                data=Path(folder) / "mirror", sources=(server.url,), blobs=True, every_s=3_600.0
            )
            with open_mirror(settings, clock=lambda: NOW) as made:
                served = {endpoint(r) for r in made.app.routes if isinstance(r, Route)}
                own = {name: rows for name, rows in requests.items() if name in served}
                _await_images(run, made.app, own)
                yield Service(made.app, LIMITS, own, _read_only, _refused)
        finally:
            server.stop()
            serving.join(WAIT_S)


def _refused(method: str) -> Statuses:
    return frozenset() if method in _SAFE else frozenset({503})


def _read_only(path: str, method: str) -> Statuses:
    # What the protocol takes itself is read before it is refused.
    takes = path == posts.PATH and method == "POST"
    return _openapi()[path, method] if takes else _refused(method) or _openapi()[path, method]


def _await_images(run: Run, app: Starlette, requests: Requests) -> None:
    """Until the mirror has fetched what the first request to each kind of file asks for."""
    wanted = [
        requests[f"GET|HEAD /v1/{one}/{{digest}}"][0] for one in ("manifests", "blobs/sha256")
    ]
    until = time.monotonic() + WAIT_S
    for request in wanted:
        while run(ask(app, request.method, request.path)).status != 200:
            assert time.monotonic() < until, "the mirror does not fetch"


# --- witness ---

# docs/spec/witness.md; what every application of ours answers stands in docs/reference/http.md.
_ANY: Final = frozenset({405, 408, 429, 503})
_WITNESS_NAMES: Final = (
    *("POST /add-checkpoint", "GET|HEAD /{digest}/checkpoint", "POST /{digest}/board-links"),
    *("GET|HEAD /healthz", "GET|HEAD /readyz", "GET|HEAD /problems/{name}"),
)
_WITNESS: Final[dict[str, Statuses]] = {
    "/add-checkpoint": _ANY | {200, 400, 403, 404, 409, 413, 422},
    "/{digest}/checkpoint": _ANY | {200, 304, 404},
    "/{digest}/board-links": _ANY | {200, 400, 403, 404, 413},
    "/healthz": _ANY | {200, 304},
    "/readyz": _ANY | {200, 304},
    "/problems/{name}": _ANY | {200, 304, 404},
}


@contextmanager
def witness(run: Run) -> Iterator[Service]:
    """A witness of a log and of a board of four operators, which has cosigned some of both."""
    log, board = ToyLog(), WitnessedBoard(BoardWorld(operators=4))
    with TemporaryDirectory() as folder:
        data = Path(folder)
        make_keys(data, NAME, post_quantum=True)
        source = BoardSource(board.id, None)
        with open_witness(
            data, logs={log.origin: log.known()}, boards=(source,), clock=lambda: NOW
        ) as made:
            requests = _witness_requests(log, board)
            first = [
                *requests["POST /{digest}/board-links"],
                *requests["POST /add-checkpoint"],
            ]
            for request in first:
                run(_succeed(made.app, request))
            board.world.accept(board.world.maker.registration())
            yield Service(
                made.app,
                made.limits,
                _witness_requests(log, board, old=2),
                lambda path, _: _WITNESS[path],
            )


async def _succeed(app: Starlette, request: Request) -> None:
    found = await ask(
        app, request.method, request.target, headers=request.headers, body=request.parts()
    )
    assert found.status == 200, (request, found)


def _witness_requests(log: ToyLog, board: WitnessedBoard, old: int = 0) -> Requests:
    """What is asked of a witness that cosigned size `old` of the log and of the board last."""
    origin, followed = (sha256(o.encode()).hexdigest() for o in (log.origin, board.world.origin))
    proof = prove_consistency(board.world.tree(), old_size=old, size=board.size) if old else ()
    body = format_add_checkpoint(old, proof, board.note())
    state = ((b"fieldpost-state", format_base64(board.state()).encode()),)
    sizes = [(old, 2), (old, 7), (old, 256)] if old else [(0, 2)]
    return {
        "POST /add-checkpoint": (
            *(send("POST", "/add-checkpoint", "text/plain", log.request(*pair)) for pair in sizes),
            send("POST", "/add-checkpoint", "text/plain", body, state),
        ),
        "GET|HEAD /{digest}/checkpoint": (
            *get(f"/{origin}/checkpoint"),
            *get(f"/{followed}/checkpoint"),
        ),
        "POST /{digest}/board-links": (
            send("POST", f"/{followed}/board-links", "application/cbor", cbor.encode(board.links)),
        ),
        **_common(),
    }


# --- what a node of a board of several operators serves besides ---


@contextmanager
def operator(run: Run) -> Iterator[Service]:
    """`/v1/light` of a node whose CometBFT does not answer: what gets as far as that is 503."""
    with _filled_node(run) as (made, _):
        made.app.router.routes.extend(light.routes(LightData("127.0.0.1:1").answer))
        asked = [send("POST", light.PATH, light.JSON, q) for q in seeds.seeds("light question")]

        def documented(path: str, method: str) -> Statuses:
            return _ANY | {400, 413} if path == light.PATH else _openapi()[path, method]

        yield Service(made.app, LIMITS, {f"POST {light.PATH}": tuple(asked)}, documented)


SERVICES: Final[dict[str, Callable[[Run], AbstractContextManager[Service]]]] = {
    "node": node,
    "mirror": mirror,
    "witness": witness,
    "operator": operator,
}


@cache
def endpoints() -> tuple[tuple[str, str], ...]:
    """Every endpoint of every service: the service's name, and the endpoint's."""
    found = {
        "node": (*BOARD_NOUNS, *FLEET_NOUNS, health, problems),
        "mirror": (*BOARD_NOUNS, health, problems),
    }
    named = [
        (name, endpoint(route))
        for name, nouns in found.items()
        for noun in nouns
        for route in noun.routes
    ]
    named += [("witness", name) for name in _WITNESS_NAMES]
    return (*named, ("operator", f"POST {light.PATH}"))


def _common() -> Requests:
    return {
        "GET|HEAD /healthz": get("/healthz"),
        "GET|HEAD /readyz": get("/readyz"),
        "GET|HEAD /problems/{name}": get("/problems/malformed"),
    }
