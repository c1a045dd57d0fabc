# SPDX-License-Identifier: Apache-2.0
"""uvicorn's httptools protocol with the limits that it lacks, and a short way for hot answers.

Without a limit on headers a connection that never finishes one is kept for ever, and a header
without end fills memory. A prepared answer (`fieldpost.node.fast`) is written once the request is
parsed whole, if nothing else on the connection is under way; limits hold for it as for all.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fieldpost.node.config import Limits
from fieldpost.node.fast import FastAnswers

# A request with one of these asks for more than prepared bytes.
_UNUSUAL: Final = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade"})


class LimitedProtocol(HttpToolsProtocol):
    """One connection: its header must be complete in time, and small."""

    limits = Limits()
    fast: FastAnswers | None = None

    def connection_made(self, transport: Any) -> None:
        """A client has connected, and owes a header."""
        self._header_count = 0
        self._header_timer: asyncio.TimerHandle | None = None
        self._prepared: bytes | None = None
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
        self._prepared = self._find_prepared()
        if self._prepared is None:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._prepared is None:
            super().on_message_complete()
            return
        self.transport.write(self._prepared)
        self._prepared = None
        self.on_response_complete()

    def _find_prepared(self) -> bytes | None:
        fast = self.fast
        before: RequestResponseCycle | None = self.cycle
        if fast is None or self.pipeline or self.flow.write_paused:
            return None
        if before is not None and not before.response_complete:
            return None
        method = self.parser.get_method()
        if method not in (b"GET", b"HEAD") or self.parser.get_http_version() != "1.1":
            return None
        if not self.parser.should_keep_alive() or self.transport.is_closing():
            return None
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
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


def limited_protocol(limits: Limits, fast: FastAnswers | None = None) -> type[asyncio.Protocol]:
    """The protocol class for a server with these limits."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits, "fast": fast})
