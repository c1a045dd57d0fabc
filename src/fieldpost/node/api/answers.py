# SPDX-License-Identifier: Apache-2.0
"""Answers with entity tags and cache rules, shared by the nouns that serve immutable bytes."""

import json
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

FOREVER: Final = "public, max-age=31536000, immutable, no-transform"
BRIEF: Final = "public, max-age=1, no-transform"
CBOR: Final = "application/cbor"


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
    return answer_json_text(json.dumps(value), cache=cache)


def answer_json_text(text: str, *, cache: str) -> Response:
    """A JSON document that is written already."""
    headers = {"Cache-Control": cache, "Content-Type": "application/json"}
    return Response(text.encode(), headers=headers)
