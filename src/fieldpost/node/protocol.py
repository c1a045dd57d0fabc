# SPDX-License-Identifier: Apache-2.0
"""The guarded protocol with a short way for hot answers.

A prepared answer (`fieldpost.node.fast`) is written once the request is
parsed whole, if nothing else on the connection is under way; so is the answer of whoever takes a
small body (`fieldpost.node.taking`), once there is one. Limits hold for them as for all.
"""

import asyncio
from functools import partial
from typing import Any, Final

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from fieldpost.node.api.problems import TooSlow, problem_response
from fieldpost.node.config import Limits
from fieldpost.node.crowd import Crowd
from fieldpost.node.exchange import UNUSUAL, Exchange, find_taker, render
from fieldpost.node.fast import FastAnswers
from fieldpost.node.gate import PREPARED_COST, Gate
from fieldpost.node.guarded import GuardedProtocol
from fieldpost.node.taking import ShortWay

# A request with one of these asks for more than prepared bytes.
_UNUSUAL: Final = UNUSUAL | {b"content-length"}


class LimitedProtocol(GuardedProtocol):
    """One connection, whose answers may be ready."""

    fast: FastAnswers | None = None
    short: ShortWay | None = None

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        self._prepared: bytes | None = None
        self._exchange: Exchange | None = None
        super().connection_made(transport)

    def begin(self) -> None:
        """Take the short way if there is one and the client may ask; else the application's."""
        self._prepared = self._exchange = None
        if self._is_plain():
            self._prepared = self._find_prepared()
            if self._prepared is not None and not self.admits(PREPARED_COST):
                self._prepared = None
            self._exchange = self._begin_exchange()
        if self._prepared is None and self._exchange is None:
            super().begin()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._exchange is None:
            super().on_body(body)
        else:
            self._exchange.hear(body, self.loop.time())

    def on_message_complete(self) -> None:
        """The request is whole."""
        exchange, self._exchange = self._exchange, None
        if self._prepared is not None:
            self.transport.write(self._prepared)
            self._prepared = None
            self.on_response_complete()
        elif exchange is not None:
            body = exchange.finish_body()
            if not exchange.response_complete:
                exchange.taker.take(exchange.kind, body, partial(self._finish, exchange))
        else:
            super().on_message_complete()

    def _is_plain(self) -> bool:
        """Whether this request may be served here: nothing else is under way."""
        before: RequestResponseCycle | Exchange | None = self.cycle
        return not (
            self.pipeline
            or self.flow.write_paused
            or (before is not None and not before.response_complete)
            or self.parser.get_http_version() != "1.1"
            or not self.parser.should_keep_alive()
            or self.transport.is_closing()
        )

    def _begin_exchange(self) -> Exchange | None:
        if self.short is None or self.parser.get_method() != b"POST":
            return None
        found = find_taker(self.short, self.url, self.headers)
        if found is None or not self.admits(1.0):
            return None
        client = self.scope["client"]
        followed = self.short.follower.begin(client[0] if client else "unknown", self.headers)
        exchange = Exchange(followed, self.url.decode("ascii"), *found, self.loop.time())
        self.cycle = exchange  # type: ignore[assignment]
        self._await_body(exchange)
        return exchange

    def _await_body(self, exchange: Exchange) -> None:
        """Look again when it may be too late: after a silence, or at the end of its time."""
        now = self.loop.time()
        left = exchange.patience(self.limits, now)
        if left > 0:
            exchange.timer = self.loop.call_later(left, self._await_body, exchange)
            return
        exchange.keep_alive = False
        slow = TooSlow(f"the body stopped after {len(exchange.body)} bytes")
        self._finish(exchange, problem_response(slow))

    def _finish(self, exchange: Exchange, response: Response) -> None:
        assert self.short is not None
        follower, followed, path = self.short.follower, exchange.followed, exchange.path
        status = response.status_code
        more = follower.answered(followed, "POST", path, status)
        follower.ended(followed, "POST", path, status, len(response.body))
        exchange.response_complete = True
        if exchange.disconnected or self.transport.is_closing():
            return
        general = self.server_state.default_headers
        self.transport.write(render(response, general, more, keep_alive=exchange.keep_alive))
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _find_prepared(self) -> bytes | None:
        fast = self.fast
        method = self.parser.get_method()
        if fast is None or method not in (b"GET", b"HEAD"):
            return None
        if_none_match: str | None = None
        for name, value in self.headers:
            if name in _UNUSUAL:
                return None
            if name == b"if-none-match" and if_none_match is None:
                if_none_match = value.decode("latin-1")
        return fast.find(
            self.url,
            is_head=method == b"HEAD",
            if_none_match=if_none_match,
            general=self.server_state.default_headers,
            now=self.loop.time(),
        )


def limited_protocol(
    limits: Limits,
    *,
    gate: Gate,
    crowd: Crowd,
    fast: FastAnswers | None = None,
    short: ShortWay | None = None,
) -> type[asyncio.Protocol]:
    """The protocol class for a server with these limits."""
    members = {"limits": limits, "gate": gate, "crowd": crowd, "fast": fast, "short": short}
    return type("LimitedProtocol", (LimitedProtocol,), members)
