# SPDX-License-Identifier: Apache-2.0
"""`/v1/posts` and `/v1/receipts`: posts go in, and proof that they are in comes out."""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.node.api.answers import answer_bytes
from fieldpost.node.api.requests import check_type, path_bytes, read_body
from fieldpost.node.api.service_of import limits_of, service_of, taker_of
from fieldpost.node.posting import MANY, ONE
from fieldpost.node.taking import taken

PATH: Final = "/v1/posts"


async def submit(request: Request) -> Response:
    """One post, or a sequence of them with a result for each."""
    taker, limits = taker_of(request, PATH), limits_of(request)
    kind = check_type(request, ONE, MANY)
    body = await read_body(
        request,
        most_bytes=taker.most_bytes(kind),
        silence_s=limits.body_silence_s,
        total_s=limits.body_s,
    )
    return await taken(taker, kind, body)


async def receipt(request: Request) -> Response:
    """The tlog-proof of an entry, by its SHA-256."""
    digest = path_bytes(request, "digest", 32)
    text = await asyncio.to_thread(service_of(request).receipt, digest)
    return answer_bytes(
        request, text, content_type="text/plain; charset=utf-8", cache="no-cache, no-transform"
    )


routes = [
    Route(PATH, submit, methods=["POST"]),
    Route("/v1/receipts/{digest}", receipt),
]
