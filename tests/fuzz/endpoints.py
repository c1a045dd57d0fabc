# SPDX-License-Identifier: Apache-2.0
"""Every endpoint, fed with changed requests: their bytes go through the server's own protocol.

Whatever comes of changing true requests is answered with a status that the documents have for it,
and never with 500 nor with an error in the log. Errors are problem documents that say what to do.
What a request costs is bounded: processor time, and memory that stays behind.
"""

import asyncio
import gc
import json
import logging
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Final

from starlette.routing import Match

from tests.fuzz import bounds, seeds
from tests.fuzz.answers import Answer, NotOneAnswer, read_answer, read_statuses
from tests.fuzz.campaign import Fault, traced
from tests.fuzz.requests import Request, is_framed_plainly, mutate_head, mutate_request, pieces_of
from tests.fuzz.services import SERVICES, Run, Service, Statuses, endpoints
from tests.fuzz.wire import Heard, Wire
from tests.unit.node.asked import path_of

PREFIX: Final = "endpoint"
FRESH: Final = 10_000
"""So many requests to one service; then a new one, in which uploads are not yet complete."""
TWICE: Final = 1_500
"""So many requests are made twice to see what stays in memory."""
SLOW_S: Final = 2.0
_PROBLEM: Final = b"application/problem+json"
_OTHER_PROBLEMS: Final = frozenset({b"text/x.tlog.size"})
_PARSERS: Final = b"text/plain; charset=utf-8"
_HEADS: Final = 0.1
"""The share of requests of which the head is changed as bytes."""

ENDPOINTS: Final = {f"{PREFIX} {service} {name}": service for service, name in endpoints()}


class Fed:
    """A service that is asked, and whose answers are judged. Made on the loop that asks."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.wire = Wire(service.app, service.limits)
        self.slowest_s = 0.0
        self._routes = service.routes

    async def feed(self, name: str, request: Request, pieces: list[bytes] | None = None) -> int:
        """Ask, and judge the answer: its status, 0 for the end of a connection. Raises Fault.

        `pieces` are sent in the place of the request's own bytes.
        """
        sent = pieces_of(request) if pieces is None else pieces
        began = time.process_time()
        with errors_of_the_log() as told:
            try:
                heard = await self.wire.ask(sent)
            except Exception as error:
                raise Fault(name, b"".join(sent), f"{type(error).__name__}: {error}") from error
        self.slowest_s = max(self.slowest_s, time.process_time() - began)
        if told:
            raise Fault(name, b"".join(sent), f"the log says: {told[0]}")
        is_plain = pieces is None and is_framed_plainly(request)
        try:
            return self._judge(request, heard) if is_plain else self._judge_loosely(heard)
        except NotOneAnswer as wrong:
            raise Fault(name, b"".join(sent), str(wrong)) from None

    def _judge(self, request: Request, heard: Heard) -> int:
        if heard.is_over and read_statuses(heard.data) == [400]:
            # What is no HTTP has no method either: an answer with a body, and the end.
            return self._judge_the_parsers(read_answer(heard.data, is_head=False))
        answer = read_answer(heard.data, is_head=request.method == "HEAD")
        if answer.status not in self._admitted(request):
            raise NotOneAnswer(f"{answer.status} is not documented here: {answer.body[:300]!r}")
        kind = answer.headers.get(b"content-type")
        if answer.status >= 400 and request.method != "HEAD" and kind not in _OTHER_PROBLEMS:
            if kind != _PROBLEM:
                raise NotOneAnswer(f"{answer.status} without a problem document")
            problem = json.loads(answer.body)
            if problem["status"] != answer.status or not problem["next"]:
                raise NotOneAnswer(f"{answer.status} with another problem: {problem}")
        return answer.status

    def _judge_the_parsers(self, answer: Answer) -> int:
        if answer.headers[b"content-type"] != _PARSERS:
            raise NotOneAnswer(f"400, and the end of the connection: {answer.body[:300]!r}")
        return 400

    def _judge_loosely(self, heard: Heard) -> int:
        """Of bytes that may be no request, or several, all answers are of those that there are."""
        statuses = read_statuses(heard.data)
        strange = set(statuses) - self._anywhere() - {100}
        if strange:
            raise NotOneAnswer(f"{strange} is documented nowhere: {heard.data[:300]!r}")
        return statuses[0] if statuses else 0

    def _anywhere(self) -> Statuses:
        found = {400, 404, 405, 307}
        for route in self._routes:
            for method in route.methods or ():
                found |= self._documented(route.path, method)
        for method in ("GET", "POST"):
            found |= self.service.elsewhere(method)
        return frozenset(found)

    def _documented(self, path: str, method: str) -> Statuses:
        return self.service.documented(path.replace(":path}", "}"), method)

    def _admitted(self, request: Request) -> Statuses:
        """The statuses of the endpoint that a request reaches, which may be another, or none."""
        scope = {
            "type": "http",
            "method": request.method,
            "path": path_of(request.path),
            "root_path": "",
        }
        matches = {route.matches(scope)[0]: route for route in reversed(self._routes)}
        if Match.FULL in matches:
            return self._documented(matches[Match.FULL].path, request.method)
        refused = self.service.elsewhere(request.method)
        if refused:
            return refused
        # A path that lacks a slash, or has one too many, is sent on to the right one.
        return frozenset({405}) if Match.PARTIAL in matches else frozenset({404, 307})

    async def feed_mutations(self, name: str, count: int, *, seed: str = "0") -> Counter[int]:
        """`count` changed requests to one endpoint; how often each status came. Raises Fault."""
        random, others = Random(f"{name} {seed}"), seeds.everything()
        own = self.service.requests[name.removeprefix(f"{PREFIX} {ENDPOINTS[name]} ")]
        kin = [request for rows in self.service.requests.values() for request in rows]
        statuses: Counter[int] = Counter()
        for _ in range(count):
            request = mutate_request(random, random.choice(own), kin, others)
            pieces = None
            if random.random() < _HEADS:
                pieces = mutate_head(random, request)
            statuses[await self.feed(name, request, pieces)] += 1
        return statuses


@contextmanager
def errors_of_the_log() -> Iterator[list[str]]:
    """What is logged as an error inside the block."""
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(f"{record.getMessage()} {record.exc_info and record.exc_info[1]!r}")

    listener = Listener(logging.ERROR)
    logging.getLogger().addHandler(listener)
    try:
        yield told
    finally:
        logging.getLogger().removeHandler(listener)


@contextmanager
def opened(name: str) -> Iterator[tuple[Service, Run]]:
    """A new service, and the event loop to ask it on."""
    with asyncio.Runner() as runner, SERVICES[name](runner.run) as service:
        yield service, runner.run


def feed_mutations(name: str, count: int, *, seed: int = 0) -> tuple[Counter[int], float]:
    """`count` changed requests to one endpoint: how often each status came, seconds of the slowest.

    Raises Fault, also for one that took longer than SLOW_S of processor time.
    """
    statuses: Counter[int] = Counter()
    slowest_s = 0.0
    for done in range(0, count, FRESH):
        with opened(ENDPOINTS[name]) as (service, run):
            some, slow_s = run(_feed_new(service, name, min(FRESH, count - done), f"{seed} {done}"))
        statuses += some
        slowest_s = max(slowest_s, slow_s)
    if slowest_s > SLOW_S:
        raise Fault(name, b"", f"a request took {slowest_s:.1f} s")
    return statuses, slowest_s


async def _feed_new(
    service: Service, name: str, count: int, seed: str
) -> tuple[Counter[int], float]:
    fed = Fed(service)
    return await fed.feed_mutations(name, count, seed=seed), fed.slowest_s


def check_keeps_nothing(name: str, count: int, *, seed: int = 0) -> int:
    """Bytes that are kept of `count` requests which were made before. Raises Fault for too many.

    They are made three times, and the less of the last two counts: what grows without end grows
    each time, and a table of the interpreter's (of interned strings) only once in a while.
    """

    async def thrice(service: Service) -> int:
        fed = Fed(service)
        kept: list[int] = []
        for _ in range(3):
            before = _memory()
            await fed.feed_mutations(name, count, seed=str(seed))
            kept.append(_memory() - before)
        return min(kept[1:])

    with opened(ENDPOINTS[name]) as (service, run), traced():
        kept: int = run(thrice(service))
    if kept > bounds.KEPT_BYTES:
        raise Fault(name, b"", f"{kept} bytes are kept of {count} requests made before")
    return kept


def _memory() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
