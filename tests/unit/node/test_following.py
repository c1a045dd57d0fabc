# SPDX-License-Identifier: Apache-2.0
"""Every request has a name that the log and the answer share, and no log line names anybody."""

import json
import logging
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Scope

from fieldpost.metrics.prometheus import Metrics
from fieldpost.node.callers import Callers, Requests
from fieldpost.node.following import Follower, FollowRequests


async def _fine(_request: Request) -> Response:
    return PlainTextResponse("fine")


async def _bug(_request: Request) -> Response:
    raise RuntimeError("a bug")


class Subject:
    """The middleware around two routes; requests in, answers and log records out."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.metrics.counter("fieldpost_requests_total", "Requests.")
        self.seconds: list[float] = []
        routes = [
            Route("/v1/devices/{id}", _fine, methods=["GET", "POST"]),
            Route("/v1/posts", _bug),
        ]
        self.follower = Follower(
            requests=Requests(self.metrics, Callers()),
            observe=self.seconds.append,
            log_requests=True,
        )
        self.app = FollowRequests(Starlette(routes=routes), follower=self.follower)

    async def ask(self, method: str, path: str, name: bytes = b"") -> dict[bytes, bytes]:
        sent: list[Message] = []
        scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "root_path": "",
            "query_string": b"",
            "headers": [(b"x-request-id", name)] if name else [],
            "client": ("192.0.2.77", 1),
        }

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return dict(sent[0]["headers"])


def run(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def test_an_answer_that_no_cache_keeps_carries_the_id_that_the_log_has(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    subject = Subject()
    assert run(subject.ask("POST", "/v1/devices/d1", b"proxy-7"))[b"x-request-id"] == b"proxy-7"
    made = run(subject.ask("GET", "/nothing"))[b"x-request-id"]
    assert len(made) == 16
    assert b"x-request-id" not in run(subject.ask("GET", "/v1/devices/d1"))
    ids = [record.facts["id"] for record in caplog.records]  # type: ignore[attr-defined]
    assert ids[:2] == ["proxy-7", made.decode()]
    assert len(subject.seconds) == 3


@pytest.mark.parametrize("name", [b"a b", b"x" * 65, b'"', b"a\xffb"])
def test_an_id_that_could_forge_a_log_line_is_replaced(name: bytes) -> None:
    assert len(run(Subject().ask("POST", "/v1/devices/d1", name))[b"x-request-id"]) == 16


def test_neither_path_nor_address_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run(Subject().ask("GET", "/v1/devices/secret-device"))
    (record,) = caplog.records
    said = json.dumps(record.facts)  # type: ignore[attr-defined]
    assert '"noun": "devices"' in said
    assert "secret-device" not in said
    assert "192.0.2" not in said


def test_a_bug_is_told_once_with_the_request_that_met_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(RuntimeError):
        run(Subject().ask("GET", "/v1/posts", b"it-was-me"))
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.facts["id"] == "it-was-me"  # type: ignore[attr-defined]
    assert record.exc_info


def test_no_two_requests_are_given_the_same_id() -> None:
    """Random bytes are drawn for 512 ids at once: also where one drawing ends, nothing repeats."""
    follower = Subject().follower
    names = {follower.begin("192.0.2.77", []).name for _ in range(1_030)}
    assert len(names) == 1_030
    assert {len(name) for name in names} == {16}
