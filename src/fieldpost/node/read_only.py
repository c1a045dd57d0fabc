# SPDX-License-Identifier: Apache-2.0
"""Writing to a copy of a board: refused, with where to do it instead."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from fieldpost.errors import Unavailable
from fieldpost.node.api.problems import problem_response

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class ReadOnly:
    """Middleware that lets requests through which change nothing."""

    def __init__(self, app: ASGIApp, *, elsewhere: str) -> None:
        self._app = app
        self._elsewhere = elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and scope["method"] not in _READING:
            refused = Unavailable(f"this is a mirror, which takes nothing in: {self._elsewhere}")
            await problem_response(refused)(scope, receive, send)
        else:
            await self._app(scope, receive, send)
