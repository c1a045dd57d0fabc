# SPDX-License-Identifier: Apache-2.0
"""uvicorn's httptools protocol with the limits that it lacks.

- A header must be whole in time, and small; without that, one that never ends is kept for ever.
- What may be framed in two ways is refused (RFC 9112, §3.2, §6): the parser does most of it, and
  here are HTTP versions, Host, and transfer codings that we do not take.
- Connections are limited, all of them and those of one client (`fieldpost.node.crowd`), and so are
  the requests that wait on one (pipelining).
- A client that takes nothing of a long answer does not keep it in memory, and what all of them
  leave waiting is bounded (`fieldpost.node.unsent`).
- What is kept of bodies until they are whole is bounded too (`fieldpost.node.bodies`).
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fieldpost.node.bodies import Bodies, Body, begin_body, body_of
from fieldpost.node.clients import OWN, Headers
from fieldpost.node.config import Limits
from fieldpost.node.crowd import Crowd, Guest
from fieldpost.node.gate import Gate
from fieldpost.node.unsent import CALM_BYTES, Unsent

_VERSIONS: Final = frozenset({"1.0", "1.1"})
_BAD_HOST: Final = frozenset(b' \t/?#@\\"<>^`{|}')
FORWARDED: Final = frozenset({b"x-forwarded-for", b"forwarded"})


class Faulty(Exception):
    """A request that could be understood in two ways. The parser makes 400 of it, and the end."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection, and what it may cost."""

    limits: Limits
    gate: Gate
    crowd: Crowd
    unsent: Unsent
    bodies: Bodies

    def connection_made(self, transport: Any) -> None:
        """A client has connected, and owes a header."""
        self._header_count = 0
        self._header_timer: asyncio.TimerHandle | None = None
        self._owes_header = True
        self._stall_timer: asyncio.TimerHandle | None = None
        self._body_count = 0
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=CALM_BYTES)
        # OWN: nobody by itself, but it may forward for somebody.
        self._peer = self.gate.clients.of(self.client[0] if self.client else OWN)
        self._client = self._peer
        self._entered = self.crowd.enter(self, self._peer)
        if self._entered:
            self._await_header()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._header_arrived()
        self._end_stall()
        self.unsent.release(self)
        # Requests that nobody will serve any more; of others the application releases it.
        for cycle, _ in self.pipeline:
            body_of(cycle.scope).release()
        if self._entered:
            self.crowd.go(self, self._peer)
        super().connection_lost(exc)

    def leave(self) -> None:
        """See Guest."""
        self._header_arrived()
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes came: most of the time a whole request, which then costs no timer."""
        super().data_received(data)
        if self._body_count:
            self._hold_body()
        if self._owes_header and self._header_timer is None and not self.transport.is_closing():
            self._await_header()

    def on_message_begin(self) -> None:
        """The first byte of a request: the time for its header begins anew."""
        super().on_message_begin()
        self._header_count = 0
        self._header_arrived()
        self._owes_header = True

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The header is whole: judge it, and begin. Raises Faulty."""
        self._header_arrived()
        self._judge_header()
        self.crowd.serve(self)
        if len(self.pipeline) >= self.limits.pipelined:
            self.leave()
        else:
            self.begin()

    def begin(self) -> None:
        """Begin to answer the request whose header is whole."""
        begin_body(self.scope, Body(self.bodies, self._client, self.transport.abort))
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body, for the application."""
        self._body_count += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._body_count:
            self._hold_body()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is written."""
        if not self.pipeline:
            self.crowd.wait(self)
            cycle: object = self.cycle
            if isinstance(cycle, RequestResponseCycle):
                # What nobody read would stay for as long as the connection.
                cycle.body = bytearray()
        super().on_response_complete()

    def _judge_header(self) -> None:
        version, hosts, forwarded = self.parser.get_http_version(), 0, False
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
                if not _BAD_HOST.isdisjoint(value):
                    raise Faulty("a Host that is none")
            elif name == b"transfer-encoding":
                if version != "1.1" or value.strip().lower() != b"chunked":
                    raise Faulty("a transfer coding that is not taken here")
            elif name in FORWARDED:
                forwarded = True
        if version not in _VERSIONS or (hosts != 1 if version == "1.1" else hosts > 1):
            raise Faulty("another version of HTTP, or no Host, or two")
        self._client = self._peer
        if forwarded:
            self.scope["client"] = self.charge(self.headers)

    def charge(self, headers: Headers) -> tuple[str, int] | None:
        """Charge this request to whom a trusted peer names in headers; the address of the client.

        To the peer itself if it is not trusted, or names nobody.
        """
        self._client = self._peer
        if self._peer == OWN:
            address = self.gate.clients.forwarded(headers)
            self._client = self.gate.clients.of(address)
            if address:
                return address, 0
        return self.client

    def admits(self, cost: float) -> bool:
        """Whether the client of this request may ask now, at this cost."""
        return self.gate.admits(self._client, cost, self.loop.time())

    def send_400_response(self, msg: str) -> None:
        """The end of a connection whose bytes are no request."""
        before: RequestResponseCycle | None = self.cycle
        if before is not None and not before.response_complete:
            # The answer before is not whole; this one would be taken for a part of it.
            self.transport.abort()
        else:
            super().send_400_response(msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Whoever wants another protocol gets this one, once: what follows may be of the other."""
        asked: RequestResponseCycle | None = self.cycle
        if asked is not None:
            asked.keep_alive = False

    # --- bodies ---

    def _hold_body(self) -> None:
        """Count what came of a body, once for all its pieces: chunks may be of one byte."""
        count, self._body_count = self._body_count, 0
        if not self.cycle.response_complete:
            self.let_leave(body_of(self.cycle.scope).add(count))

    def let_leave(self, guests: Iterable[Guest]) -> None:
        """End guests; this connection may be one, in the middle of its read or write."""
        for guest in guests:
            self.loop.call_soon(guest.leave)

    # --- slow readers ---

    def pause_writing(self) -> None:
        """More of an answer waits than the client took."""
        super().pause_writing()
        left = self.transport.get_write_buffer_size()
        self._watch_stall(left)
        self.let_leave(self.unsent.hold(self, self._client, left))

    def resume_writing(self) -> None:
        """The client has taken most of it."""
        self._end_stall()
        self.unsent.release(self)
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """The connection was idle too long."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _watch_stall(self, left: int) -> None:
        self._end_stall()
        self._stall_timer = self.loop.call_later(self.limits.stall_s, self._judge_stall, left)

    def _judge_stall(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if before - left < self.limits.least_bytes_per_s * self.limits.stall_s:
            self.leave()
        else:
            self._watch_stall(left)

    def _end_stall(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    # --- slow and long headers ---

    def _await_header(self) -> None:
        self._header_timer = self.loop.call_later(self.limits.header_s, self.leave)

    def _header_arrived(self) -> None:
        self._owes_header = False
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _count(self, size: int) -> None:
        self._header_count += size
        if self._header_count > self.limits.header_bytes:
            self.leave()
