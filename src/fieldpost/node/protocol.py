# SPDX-License-Identifier: Apache-2.0
"""uvicorn's httptools protocol with the limits that it lacks: on headers.

Without them a connection that never finishes its header is kept for ever, and a header without
end fills memory.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fieldpost.node.config import Limits


class LimitedProtocol(HttpToolsProtocol):
    """One connection: its header must be complete in time, and small."""

    limits = Limits()

    def connection_made(self, transport: Any) -> None:
        """A client has connected, and owes a header."""
        self._header_count = 0
        self._header_timer: asyncio.TimerHandle | None = None
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
        super().on_headers_complete()

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


def limited_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """The protocol class for a server with these limits."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})
