# SPDX-License-Identifier: Apache-2.0
"""Answers with entity tags and cache rules, shared by the nouns that serve immutable bytes."""

import json
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

FOREVER: Final = "public, max-age=31536000, immutable, no-transform"
BRIEF: Final = "public, max-age=1, no-transform"
CBOR: Final = "application/cbor"
_JSON_TEXT: Final = ((b"cache-control", b"no-store"), (b"content-type", b"application/json"))


def answer_bytes(
    request: Request, body: bytes, *, content_type: str, cache: str, etag: str | None = None
) -> Response:
    """A body, or 304 where the client already has the one with this tag."""
    headers = {"Cache-Control": cache, "Content-Type": content_type}
    if etag is not None:
        if is_known(request.headers.get("if-none-match"), etag):
            return answer_unchanged(cache=cache, etag=etag)
        headers["ETag"] = etag
    return Response(body, headers=headers)


def answer_unchanged(*, cache: str, etag: str) -> Response:
    """304: the client has it."""
    return Response(None, 304, {"Cache-Control": cache, "ETag": etag})


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether If-None-Match names this tag (weak comparison, RFC 9110 §13.1.2)."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or tags == ["*"]


def answer_json(value: object, *, cache: str = BRIEF) -> Response:
    """A JSON document."""
    headers = {"Cache-Control": cache, "Content-Type": "application/json"}
    return Response(json.dumps(value).encode(), headers=headers)


class JsonText(Response):
    """A JSON document that is written already, and that no cache keeps.

    A node under load gives thousands a second: its headers are put down as the general class would
    make them, which is a tenth of the work.
    """

    def __init__(self, text: str) -> None:  # the general one makes what is put down here
        self.body = text.encode()
        self.status_code = 200
        self.background = None
        self.raw_headers = [*_JSON_TEXT, (b"content-length", b"%d" % len(self.body))]
