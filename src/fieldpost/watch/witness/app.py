# SPDX-License-Identifier: Apache-2.0
"""A witness as an application, behind the same guarded protocol as a node.

POST /add-checkpoint                          C2SP tlog-witness; boards send Fieldpost-State too
GET  /<hex of SHA-256(origin)>/checkpoint     the newest checkpoint that was cosigned
POST /<hex of SHA-256(origin)>/board-links    links of a board (docs/spec/witness.md)
"""

from asyncio import to_thread
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost import cbor
from fieldpost.engines.exclusive import DirectoryLock
from fieldpost.errors import FieldpostError
from fieldpost.metrics.prometheus import Metrics
from fieldpost.node.api import health, problems
from fieldpost.node.api.answers import answer_bytes, answer_json
from fieldpost.node.api.requests import path_bytes, read_body
from fieldpost.node.callers import Callers, Requests
from fieldpost.node.config import LOOPBACK, Limits
from fieldpost.node.following import Follower, FollowRequests
from fieldpost.node.gate import Gate, LimitRates
from fieldpost.node.taking import ShortWay
from fieldpost.node.vitals import announce_process
from fieldpost.tlog.note import parse_base64
from fieldpost.tlog.witness import MAX_REQUEST_BYTES
from fieldpost.watch.witness.boards import FollowedBoard
from fieldpost.watch.witness.database import WitnessDb
from fieldpost.watch.witness.desk import TEXT, WitnessDesk, response_of
from fieldpost.watch.witness.keys import load_keys
from fieldpost.watch.witness.logs import KnownLog, with_boards
from fieldpost.watch.witness.service import WitnessService
from fieldpost.watch.witness.sources import BoardSource, open_boards, remember_own

PATH: Final = "/add-checkpoint"
STATE_HEADER: Final = "fieldpost-state"
MAX_LINKS_BYTES: Final = 1024 * 1024
_MOST_LINKS: Final = 1_024


@dataclass(frozen=True, slots=True)
class OpenWitness:
    """A witness, ready to be served."""

    app: Starlette
    metrics: Metrics
    service: WitnessService
    limits: Limits


@contextmanager
def open_witness(
    data: Path,
    *,
    logs: Mapping[str, KnownLog],
    boards: tuple[BoardSource, ...],
    clock: Callable[[], int],
    trusted_proxies: tuple[str, ...] = LOOPBACK,
) -> Iterator[OpenWitness]:
    """Open the witness in `data`; close it at the end.

    Raises Misconfigured and Unavailable, with what to do; Untrusted as `open_boards`.
    """
    with ExitStack() as stack:
        keys = load_keys(data)
        lock = DirectoryLock(data)
        stack.callback(lock.release)
        db = WitnessDb(data)
        stack.callback(db.close)
        followed = open_boards(boards, db)
        known = with_boards(logs, followed)
        everything: list[KnownLog | FollowedBoard] = [*known.values(), *followed.values()]
        urls = {one.origin: one.url for one in everything if one.url}
        remember_own(db, keys.vkeys(), urls)
        metrics = Metrics()
        service = WitnessService(
            data,
            keys=keys,
            logs=known,
            boards=followed,
            db=db,
            clock=clock,
            observe_commit=metrics.histogram(
                "fieldpost_witness_commit_seconds", "Making a batch of checkpoints durable."
            ),
        )
        stack.callback(service.close)
        limits = Limits()
        app = build(service, limits=limits, metrics=metrics, trusted_proxies=trusted_proxies)
        yield OpenWitness(app, metrics, service, limits)


def build(
    service: WitnessService,
    *,
    limits: Limits,
    metrics: Metrics,
    trusted_proxies: tuple[str, ...] = LOOPBACK,
) -> Starlette:
    """The application of a witness."""
    _announce(metrics, service)

    def count(status: int) -> None:
        metrics.count("fieldpost_witness_answers_total", {"status": str(status)})

    desk = WitnessDesk(service, limits, count)
    gate, callers = Gate.build(limits, trusted_proxies), Callers()
    follower = Follower(
        requests=Requests(metrics, callers),
        observe=metrics.histogram(
            "fieldpost_request_seconds", "From a request's header to its whole answer."
        ),
        log_requests=False,
    )
    app = Starlette(
        middleware=[
            Middleware(FollowRequests, follower=follower),
            Middleware(LimitRates, gate=gate),
        ],
        routes=[*_routes(service, desk, limits), *health.routes, *problems.routes],
        exception_handlers={
            FieldpostError: _answer_error,
            HTTPException: problems.answer_http_error,
            Exception: problems.answer_bug,
        },
    )
    app.state.gate = gate
    app.state.short = ShortWay({PATH.encode(): desk}, follower)
    app.state.check_ready = service.check_ready
    return app


def _announce(metrics: Metrics, service: WitnessService) -> None:
    announce_process(metrics)
    metrics.counter("fieldpost_requests_total", "Requests that the application answered.")
    metrics.counter("fieldpost_witness_answers_total", "add-checkpoint requests by status.")
    metrics.gauge("fieldpost_witness_origins", "Logs and boards.", lambda: service.origins)
    metrics.gauge("fieldpost_witness_waiting", "Requests in the queue.", lambda: service.waiting)
    metrics.gauge(
        "fieldpost_witness_forks",
        "Pairs of signed heads of one size with different roots that were kept as evidence.",
        lambda: service.evidence_kept,
    )


def _answer_error(request: Request, error: Exception) -> Response:
    if isinstance(error, FieldpostError):
        return response_of(error)
    return problems.answer_error(request, error)


def _routes(service: WitnessService, desk: WitnessDesk, limits: Limits) -> list[Route]:
    async def body_of(request: Request, most_bytes: int) -> bytes:
        return await read_body(
            request,
            most_bytes=most_bytes,
            silence_s=limits.body_silence_s,
            total_s=limits.body_s,
        )

    async def add_checkpoint(request: Request) -> Response:
        body = await body_of(request, MAX_REQUEST_BYTES)
        return await desk.answer(body, _state_of(request))

    async def checkpoint(request: Request) -> Response:
        digest = path_bytes(request, "digest", 32).hex()
        note = await to_thread(service.note_of, digest)
        return answer_bytes(request, note, content_type=TEXT, cache="no-cache, no-transform")

    async def board_links(request: Request) -> Response:
        digest = path_bytes(request, "digest", 32).hex()
        body = await body_of(request, MAX_LINKS_BYTES)
        entries = cbor.decode_byte_strings(body, most=_MOST_LINKS)
        epoch = await to_thread(service.add_links, service.origin_of(digest), entries)
        return answer_json({"epoch": epoch}, cache="no-store")

    return [
        Route(PATH, add_checkpoint, methods=["POST"]),
        Route("/{digest}/checkpoint", checkpoint),
        Route("/{digest}/board-links", board_links, methods=["POST"]),
    ]


def _state_of(request: Request) -> bytes | None:
    text = request.headers.get(STATE_HEADER)
    return None if text is None else parse_base64(text)
