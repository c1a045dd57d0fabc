# SPDX-License-Identifier: Apache-2.0
"""The guarded protocol with a short way for small bodies, past the application.

Who takes them (`fieldpost.node.taking`) is given the body once it is whole, if nothing else on the
connection is under way, and his answer is written once there is one. Clients send the same header
before each body: it is parsed once (`fieldpost.node.asked`), and then the parser sees neither it
nor the body, also where a proxy gives each an id (`fieldpost.node.varied`). Limits hold as for all.
"""

from collections.abc import Sequence
from functools import partial
from math import inf
from typing import Any, Final

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from fieldpost.errors import Unavailable
from fieldpost.node.api.problems import TooSlow, problem_response
from fieldpost.node.asked import MOST_BYTES, SaidBefore
from fieldpost.node.bodies import Body, no_room
from fieldpost.node.exchange import Announced, Exchange, find_announced, render
from fieldpost.node.following import Headers
from fieldpost.node.guarded import GuardedProtocol
from fieldpost.node.taking import ShortWay
from fieldpost.node.varied import TAKEN_OUT, are_all, take_out

_HEADER_END: Final = b"\r\n\r\n"


class ShortWayProtocol(GuardedProtocol):
    """One connection, of whose bodies some are taken here."""

    short: ShortWay | None = None
    announced: SaidBefore[Announced]

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        # A request of the short way, as the parser is in its body; one that the parser never saw.
        self._exchange: Exchange | None = None
        self._unparsed: Exchange | None = None
        # Whether the next byte begins a message; how many began in what came last, and the one
        # of the short way whose header may be kept.
        self._is_between = True
        self._messages = 0
        self._begun: Exchange | None = None
        self._last_answer = -inf
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, also of a body under way: who comes again at once holds it no second time."""
        exchange = self._exchange or self._unparsed
        super().connection_lost(exc)
        if exchange is not None and exchange.disconnected:
            self._give_up(exchange, Unavailable("the client went away"))

    def data_received(self, data: bytes) -> None:
        """Bytes came. A header that was parsed before is not parsed again."""
        if self._unparsed is not None:
            data = self._hear_unparsed(self._unparsed, data)
            if not data:
                return
        began_here = self._is_between
        if began_here and self._take_again(data):
            return
        self._messages, self._begun = 0, None
        super().data_received(data)
        if began_here and self._messages == 1:
            self.remember(data)
        exchange = self._exchange
        if exchange is not None:
            self._keep_waiting(exchange)

    def _take_again(self, data: bytes) -> bool:
        """Have a body taken whose header was parsed before, as `is_plain` and `begin` did then.

        Not if they would not do so now, or if more came than the body.
        """
        end = data.find(_HEADER_END, 0, MOST_BYTES) + len(_HEADER_END)
        announced, fields = self._find_said(data[:end])
        if announced is None or len(data) - end > announced.length or self.is_busy():
            return False
        client, now = self.charge(fields), self.loop.time()
        if not self.gate.admits(self._client, 1.0, now):
            return False
        self._header_arrived()
        self.crowd.serve(self)
        exchange = self._begin_exchange(announced, client, fields, now)
        if len(data) - end == announced.length:
            self._have_taken(exchange, data[end:])
        else:
            exchange.hear(data[end:], now)
            self._is_between, self._unparsed = False, exchange
            self._keep_waiting(exchange)
        return True

    def _find_said(self, header: bytes) -> tuple[Announced | None, Headers]:
        """What a header said when it was parsed, and its fields that said something else then."""
        # What is remembered of others has it, and no header that a parser takes.
        if TAKEN_OUT in header:
            return None, ()
        announced = self.announced.find(header)
        if announced is not None:
            return announced, ()
        rest, fields = take_out(header)
        return self.announced.find(rest), fields

    def remember(self, data: bytes) -> None:
        """Keep what the parser made of this, in which one message began."""
        begun, self._begun = self._begun, None
        if begun is None:
            return
        # What the parser took for the body, so far, is the end of this: the rest is the header.
        end = data.find(_HEADER_END) + len(_HEADER_END)
        if len(data) - end != begun.received:
            return
        rest, fields = take_out(data[:end])
        if are_all(fields, self.headers):
            self.announced.keep(rest, begun.announced)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._is_between = False
        self._messages += 1
        super().on_message_begin()

    def begin(self) -> None:
        """Take the short way if there is one and the client may ask; else the application's."""
        self._exchange = self._find_exchange() if self.is_plain() else None
        if self._exchange is None:
            super().begin()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._exchange is None:
            super().on_body(body)
        else:
            self._exchange.hear(body, self.loop.time())

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._is_between = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._have_taken(exchange, exchange.finish_body())
        else:
            super().on_message_complete()

    def is_plain(self) -> bool:
        """Whether this request may be served here: nothing else is under way."""
        return not (
            self.is_busy()
            or self.parser.get_http_version() != "1.1"
            or not self.parser.should_keep_alive()
        )

    def is_busy(self) -> bool:
        """Whether something else is under way, or the connection at its end."""
        return bool(
            self.pipeline
            or self.flow.write_paused
            or self._is_answering()
            or self.transport.is_closing()
        )

    def _is_answering(self) -> bool:
        before: RequestResponseCycle | Exchange | None = self.cycle
        return before is not None and not before.response_complete

    def answered(self, now: float) -> None:
        """What `on_response_complete` does, without a timer for each answer."""
        if self.pipeline or self.transport.is_closing():
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        self.crowd.wait(self)
        # The timer runs on, and looks at this when it is over.
        self._last_answer = now
        if self.timeout_keep_alive_task is None:
            self._keep_alive(self.timeout_keep_alive)

    def _keep_alive(self, rest_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(rest_s, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """The connection may have been idle too long."""
        rest_s = self._last_answer + self.timeout_keep_alive - self.loop.time()
        if self._is_answering():
            self.timeout_keep_alive_task = None  # the answer sets it again
        elif rest_s > 0:
            self._keep_alive(rest_s)
        else:
            super().timeout_keep_alive_handler()

    def _find_exchange(self) -> Exchange | None:
        if self.short is None or self.parser.get_method() != b"POST":
            return None
        announced = find_announced(self.short, self.url, self.headers)
        if announced is None or not self.admits(1.0):
            return None
        client, now = self.scope["client"], self.loop.time()
        exchange = self._begin_exchange(announced, client, self.headers, now)
        # By what else may name a client another one is charged each time.
        if all(name != b"forwarded" for name, _ in self.headers):
            self._begun = exchange
        return exchange

    def _begin_exchange(
        self, announced: Announced, client: Sequence[Any] | None, headers: Headers, now: float
    ) -> Exchange:
        assert self.short is not None
        followed = self.short.follower.begin(client[0] if client else "unknown", headers)
        exchange = Exchange(followed, announced, now)
        self.cycle = exchange  # type: ignore[assignment]
        return exchange

    def _hear_unparsed(self, exchange: Exchange, data: bytes) -> bytes:
        """More of a body whose header was known; what comes after it."""
        missing = exchange.left
        exchange.hear(data[:missing], self.loop.time())
        if not exchange.left:
            self._is_between, self._unparsed = True, None
            self._have_taken(exchange, exchange.finish_body())
        else:
            self._keep_waiting(exchange)
        return data[missing:]

    def _have_taken(self, exchange: Exchange, body: bytes) -> None:
        if not exchange.response_complete:
            announced = exchange.announced
            announced.taker.take(announced.kind, body, partial(self._finish, exchange))

    def _keep_waiting(self, exchange: Exchange) -> None:
        """More of a body is to come. Most come with their header, and cost no timer and no room."""
        if exchange.response_complete:
            return
        waiting = exchange.waiting
        if waiting is None:
            waiting = Body(self.bodies, self._client, partial(self._refuse, exchange))
            exchange.waiting = waiting
        self.let_leave(waiting.add(exchange.received - waiting.count))
        if exchange.timer is None:
            self._await_body(exchange)

    def _refuse(self, exchange: Exchange) -> None:
        self._give_up(exchange, no_room())

    def _await_body(self, exchange: Exchange) -> None:
        """Look again when it may be too late: after a silence, or at the end of its time."""
        now = self.loop.time()
        left = exchange.patience(self.limits, now)
        if left > 0:
            exchange.timer = self.loop.call_later(left, self._await_body, exchange)
            return
        exchange.timer = None
        self._give_up(exchange, TooSlow(f"the body stopped after {exchange.received} bytes"))

    def _give_up(self, exchange: Exchange, error: Unavailable) -> None:
        """Answer a body that will not be taken, and end the connection: its rest is not read."""
        if exchange.response_complete:
            return
        exchange.drop_body()
        exchange.keep_alive = False
        self._finish(exchange, problem_response(error))

    def _finish(self, exchange: Exchange, response: Response) -> None:
        assert self.short is not None
        follower, followed, path = self.short.follower, exchange.followed, exchange.announced.path
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
        self.answered(self.loop.time())
