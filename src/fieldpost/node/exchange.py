# SPDX-License-Identifier: Apache-2.0
"""One request that the HTTP protocol serves itself, from its header to its answer.

It stands where uvicorn keeps a request of the application, so that what it does with requests that
follow on the same connection, with a lost connection and with the end of the server holds here too.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain
from typing import Final

from starlette.responses import Response

from fieldpost.node.bodies import Body
from fieldpost.node.config import Limits
from fieldpost.node.following import Followed, Headers
from fieldpost.node.taking import ShortWay, Taker

# A request with one of these asks for more than the short way gives.
UNUSUAL: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"fieldpost-state"})
# Nobody waits for what wakes a task of the application.
_NOBODY: Final = asyncio.Event()
_DIGITS: Final = frozenset(b"0123456789")
_STATUS: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


@dataclass(frozen=True, slots=True)
class Announced:
    """What the header of a POST says of its body, and who takes that."""

    path: str
    taker: Taker
    kind: str
    length: int


class Exchange:
    """The state that uvicorn asks for, what was announced, and the body so far."""

    __slots__ = (
        *("_body", "announced", "disconnected", "followed", "heard", "keep_alive", "left"),
        *("message_event", "response_complete", "started", "timer", "waiting"),
    )

    def __init__(self, followed: Followed, announced: Announced, now: float) -> None:
        self.followed = followed
        self.announced = announced
        self._body = bytearray()
        self.left = announced.length
        self.started = self.heard = now
        self.timer: asyncio.TimerHandle | None = None
        # Its place in the room for bodies, unless it came whole with its header.
        self.waiting: Body | None = None
        self.disconnected = False
        self.keep_alive = True
        self.response_complete = False
        self.message_event = _NOBODY

    def hear(self, body: bytes, now: float) -> None:
        """A piece of the body came."""
        if not self.response_complete:
            self._body += body
        self.left -= len(body)
        self.heard = now

    @property
    def received(self) -> int:
        """How many bytes of the body came."""
        return self.announced.length - self.left

    def patience(self, limits: Limits, now: float) -> float:
        """For how many seconds the rest of the body is waited for; 0 or less: it is too late."""
        return min(self.heard + limits.body_silence_s, self.started + limits.body_s) - now

    def finish_body(self) -> bytes:
        """The body is whole: nothing is waited for any more."""
        body = bytes(self._body)
        self.drop_body()
        return body

    def drop_body(self) -> None:
        """Hold nothing of the body, and wait for none; this may stay as long as the connection."""
        self._body = bytearray()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.waiting is not None:
            self.waiting.release()
            self.waiting = None


def find_announced(short: ShortWay, path: bytes, headers: Headers) -> Announced | None:
    """The body of a POST with these headers, if somebody takes it here."""
    taker = short.takers.get(path)
    if taker is None:
        return None
    kind = length = b""
    for name, value in headers:
        if name in UNUSUAL:
            return None
        if name == b"content-type" and not kind:
            kind = value
        elif name == b"content-length":
            length = value
    if not length or len(length) > 18 or not _DIGITS.issuperset(length):
        return None
    shown = kind.decode("latin-1").partition(";")[0].strip().lower()
    if not 0 < int(length) <= taker.most_bytes(shown):
        return None
    return Announced(path.decode("ascii"), taker, shown, int(length))


def render(response: Response, *more: Headers, keep_alive: bool) -> bytes:
    """The whole answer; `more` headers come before its own."""
    headers = chain(*more, response.raw_headers)
    fields = [b"%b: %b\r\n" % field for field in headers]
    close = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
    return b"".join((_STATUS[response.status_code], *fields, close, response.body))
