# SPDX-License-Identifier: Apache-2.0
"""ASGI middleware that follows every request of the application: counted, timed, named.

A request's id is what a proxy in front sent as `X-Request-Id`, or a new one. It stands in the log
and in every answer that no cache keeps, so what a user reports can be found. Neither path nor
address is logged: paths name devices, addresses name people.
"""

import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fieldpost.journal import tell
from fieldpost.node.callers import Requests, noun_of

_log = logging.getLogger(__name__)
_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_READS: Final = frozenset({"GET", "HEAD"})


class FollowRequests:
    """Tells `requests` who asked and how it ended, and `observe` the seconds."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        requests: Requests,
        observe: Callable[[float], None],
        log_requests: bool,
    ) -> None:
        self._app = app
        self._requests = requests
        self._observe = observe
        self._log_requests = log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        self._requests.came(scope["client"][0] if scope["client"] else "unknown")
        method, noun = scope["method"], noun_of(scope["path"])
        name = _name_of(scope)
        status = size = 0

        async def followed(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                self._requests.ended(scope["path"], status)
                if status >= 400 or method not in _READS:
                    message["headers"] = [*message["headers"], (b"x-request-id", name)]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, followed)
        except Exception as bug:
            tell(_log, "request-failed", id=name.decode(), method=method, noun=noun, trace=bug)
            raise
        finally:
            seconds = time.perf_counter() - began
            self._observe(seconds)
            if self._log_requests:
                ms = round(seconds * 1000, 1)
                named = name.decode()
                tell(
                    _log,
                    "request",
                    id=named,
                    method=method,
                    noun=noun,
                    status=status,
                    ms=ms,
                    bytes=size,
                )


def _name_of(scope: Scope) -> bytes:
    for key, value in scope["headers"]:
        if key == b"x-request-id" and _ID.fullmatch(value):
            return bytes(value)
    return secrets.token_hex(8).encode()
