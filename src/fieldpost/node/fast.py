# SPDX-License-Identifier: Apache-2.0
"""Answers that leave from the HTTP protocol itself, without a task of the application.

The application makes an answer the first time and may leave it here, whole, for a second; until
then, and until something new is published, the same path gets the same bytes. What is not here,
and whatever a request asks beyond the path and its entity tag, goes to the application.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from fieldpost.node.api.answers import is_known

LIFE_S: Final = 1.0
_STATUS: Final = {200: b"HTTP/1.1 200 OK\r\n", 304: b"HTTP/1.1 304 Not Modified\r\n"}

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class _Kept:
    full: Response
    unchanged: Response
    etag: str
    until: float
    general: Headers | None = None
    whole: bytes = b""
    full_head: bytes = b""
    unchanged_head: bytes = b""


class FastAnswers:
    """Answers by raw path. Filled and asked on the event loop; `forget` may come from anywhere."""

    def __init__(self, most_entries: int) -> None:
        self._most = most_entries
        self._kept: dict[bytes, _Kept] = {}
        self.generation = 0
        self.hits = 0

    def forget(self) -> None:
        """Something was published."""
        self.generation += 1
        self._kept = {}

    def keep(
        self,
        path: bytes,
        *,
        full: Response,
        unchanged: Response,
        etag: str,
        now: float,
        generation: int,
    ) -> None:
        """Give these answers for `path` from now on; `generation` is that from before the work.

        `now` counts seconds of the event loop's clock.
        """
        kept = self._kept
        # One way to write a path, so that nobody fills this with others.
        if b"%" in path:
            return
        if generation == self.generation and (path in kept or len(kept) < self._most):
            kept[path] = _Kept(full, unchanged, etag, now + LIFE_S)

    def find(
        self, path: bytes, *, is_head: bool, if_none_match: str | None, general: Headers, now: float
    ) -> bytes | None:
        """The whole answer as the application would give it; `general`: the server's headers."""
        kept = self._kept.get(path)
        if kept is None or now > kept.until:
            return None
        if kept.general is not general:
            kept.general = general
            kept.full_head = _head(kept.full, general)
            kept.unchanged_head = _head(kept.unchanged, general)
            kept.whole = kept.full_head + bytes(kept.full.body)
        self.hits += 1
        if if_none_match is not None and is_known(if_none_match, kept.etag):
            return kept.unchanged_head
        return kept.full_head if is_head else kept.whole


def _head(response: Response, general: Headers) -> bytes:
    fields = (b"%b: %b\r\n" % field for field in (*general, *response.raw_headers))
    return b"".join((_STATUS[response.status_code], *fields, b"\r\n"))
