# SPDX-License-Identifier: Apache-2.0
"""Every request is followed, whichever way it takes: counted, timed, named.

A request's id is what a proxy in front sent as `X-Request-Id`, or a new one. It stands in the log
and in every answer that no cache keeps, so what a user reports can be found. Neither path nor
address is logged: paths name devices, addresses name people.
"""

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fieldpost.journal import tell
from fieldpost.node.callers import Requests, noun_of

_log = logging.getLogger(__name__)
_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_READS: Final = frozenset({"GET", "HEAD"})
_NAMES_AT_ONCE: Final = 512

Headers = Iterable[tuple[bytes, bytes]]


class Followed(NamedTuple):
    """A request under way: its id, and when it began by the performance counter."""

    name: bytes
    began: float


class Follower:
    """Hears of every request, whichever way it takes. For one thread.

    It tells `requests` who asked and how it ended, `observe` the seconds, and the log if it is to.
    """

    def __init__(
        self, *, requests: Requests, observe: Callable[[float], None], log_requests: bool
    ) -> None:
        self._requests = requests
        self._observe = observe
        self._log_requests = log_requests
        self._names = _names()

    def begin(self, host: str, headers: Headers) -> Followed:
        """A request came from an address."""
        self._requests.came(host)
        return Followed(_name_in(headers) or next(self._names), time.perf_counter())

    def answered(self, followed: Followed, method: str, path: str, status: int) -> Headers:
        """An answer begins; the headers that it must carry besides its own."""
        self._requests.ended(path, status)
        shown = status >= 400 or method not in _READS
        return [(b"x-request-id", followed.name)] if shown else []

    def failed(self, followed: Followed, method: str, path: str, bug: Exception) -> None:
        """We are wrong."""
        name, noun = followed.name.decode(), noun_of(path)
        tell(_log, "request-failed", id=name, method=method, noun=noun, trace=bug)

    def ended(self, followed: Followed, method: str, path: str, status: int, size: int) -> None:
        """The request is over; `size` in bytes of its answer's body."""
        seconds = time.perf_counter() - followed.began
        self._observe(seconds)
        if self._log_requests:
            tell(
                _log,
                "request",
                id=followed.name.decode(),
                method=method,
                noun=noun_of(path),
                status=status,
                ms=round(seconds * 1000, 1),
                bytes=size,
            )


class FollowRequests:
    """The middleware: tells a follower of what the application does."""

    def __init__(self, app: ASGIApp, *, follower: Follower) -> None:
        self._app = app
        self._follower = follower

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        follower, method, path = self._follower, scope["method"], scope["path"]
        host = scope["client"][0] if scope["client"] else "unknown"
        request = follower.begin(host, scope["headers"])
        status = size = 0

        async def followed(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                more = follower.answered(request, method, path, status)
                message["headers"] = [*message["headers"], *more]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, followed)
        except Exception as bug:
            follower.failed(request, method, path, bug)
            raise
        finally:
            follower.ended(request, method, path, status, size)


def _name_in(headers: Headers) -> bytes | None:
    for key, value in headers:
        if key == b"x-request-id" and _ID.fullmatch(value):
            return bytes(value)
    return None


def _names() -> Iterator[bytes]:
    """New ids of 16 hex digits.

    Whoever asks the system for random bytes gives the interpreter away, and under load waits
    milliseconds to have it again: so they are drawn for hundreds of ids at once.
    """
    while True:
        drawn = secrets.token_hex(8 * _NAMES_AT_ONCE).encode()
        for at in range(0, len(drawn), 16):
            yield drawn[at : at + 16]
