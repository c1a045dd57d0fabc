# SPDX-License-Identifier: Apache-2.0
"""uvicorn's httptools protocol with the limits that it lacks, and a short way for hot answers.

Without a limit on headers a connection that never finishes one is kept for ever, and a header
without end fills memory. A prepared answer (`fieldpost.node.fast`) is written once the request is
parsed whole, if nothing else on the connection is under way; so is the answer of whoever takes a
small body (`fieldpost.node.taking`), once there is one. Limits hold for them as for all.
"""

import asyncio
from functools import partial
from typing import Any, Final

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fieldpost.node.api.problems import TooSlow, problem_response
from fieldpost.node.config import Limits
from fieldpost.node.exchange import UNUSUAL, Exchange, find_taker, render
from fieldpost.node.fast import FastAnswers
from fieldpost.node.taking import ShortWay

# A request with one of these asks for more than prepared bytes.
_UNUSUAL: Final = UNUSUAL | {b"content-length"}


class LimitedProtocol(HttpToolsProtocol):
    """One connection: its header must be complete in time, and small."""

    limits = Limits()
    fast: FastAnswers | None = None
    short: ShortWay | None = None

    def connection_made(self, transport: Any) -> None:
        """A client has connected, and owes a header."""
        self._header_count = 0
        self._header_timer: asyncio.TimerHandle | None = None
        self._prepared: bytes | None = None
        self._exchange: Exchange | None = None
        super().connection_made(transport)
        self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._header_arrived()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._header_count = 0
        self._await_header()

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The header is whole."""
        self._header_arrived()
        self._prepared = self._exchange = None
        if self._is_plain():
            self._prepared = self._find_prepared()
            self._exchange = self._begin_exchange()
        if self._prepared is None and self._exchange is None:
            super().on_headers_complete()

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
        """Whether this request may be served here: nothing else is under way, and room is."""
        before: RequestResponseCycle | Exchange | None = self.cycle
        return not (
            self.pipeline
            or self.flow.write_paused
            or (before is not None and not before.response_complete)
            or self.parser.get_http_version() != "1.1"
            or not self.parser.should_keep_alive()
            or self.transport.is_closing()
            or (
                self.limit_concurrency is not None
                and len(self.connections) >= self.limit_concurrency
            )
        )

    def _begin_exchange(self) -> Exchange | None:
        if self.short is None or self.parser.get_method() != b"POST":
            return None
        host = self.client[0] if self.client else "unknown"
        found = find_taker(self.short, self.url, self.headers, host)
        if found is None:
            return None
        followed = self.short.follower.begin(host, self.headers)
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

    def _await_header(self) -> None:
        self._header_arrived()
        self._header_timer = self.loop.call_later(self.limits.header_s, self._give_up)

    def _header_arrived(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _count(self, size: int) -> None:
        self._header_count += size
        if self._header_count > self.limits.header_bytes:
            self._give_up()

    def _give_up(self) -> None:
        self._header_arrived()
        self.transport.abort()


def limited_protocol(
    limits: Limits, fast: FastAnswers | None = None, short: ShortWay | None = None
) -> type[asyncio.Protocol]:
    """The protocol class for a server with these limits."""
    members = {"limits": limits, "fast": fast, "short": short}
    return type("LimitedProtocol", (LimitedProtocol,), members)
