# SPDX-License-Identifier: Apache-2.0
"""`/v1/posts` and `/v1/receipts`: posts go in, and proof that they are in comes out."""

import asyncio
from concurrent.futures import Future
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost import cbor
from fieldpost.engines.base import Receipt
from fieldpost.errors import Malformed, Rejected, Unavailable
from fieldpost.node.api.answers import answer_bytes, answer_json
from fieldpost.node.api.requests import check_type, path_bytes, read_body
from fieldpost.node.api.service_of import service_of
from fieldpost.node.service import NodeService

ONE: Final = "application/cose"
MANY: Final = "application/cbor-seq"
MALFORMED: Final = 1


async def submit(request: Request) -> Response:
    """One post, or a sequence of them with a result for each."""
    service = service_of(request)
    limits = service.limits
    kind = check_type(request, ONE, MANY)
    count = 1 if kind == ONE else limits.posts_per_request
    body = await read_body(
        request,
        most_bytes=limits.post_bytes * count,
        silence_s=limits.body_silence_s,
        total_s=limits.body_s,
    )
    if kind == ONE:
        receipt = await _included(service, service.submit(body))
        text = await asyncio.to_thread(service.proof_of, receipt.index)
        return answer_json(
            {"index": receipt.index, "size": receipt.size, "receipt": text.decode()},
            cache="no-store",
        )
    entries = _split(body, most=count)
    futures = [service.submit(entry) for entry in entries]
    results = [await _result(service, future) for future in futures]
    return answer_json({"results": results}, cache="no-store")


async def _included(service: NodeService, future: Future[Receipt]) -> Receipt:
    # Shielded: whoever goes away does not take back what is being written.
    waiting = asyncio.shield(asyncio.wrap_future(future))
    try:
        receipt = await asyncio.wait_for(waiting, service.limits.commit_s)
    except Rejected as error:
        service.metrics.count("fieldpost_posts_total", {"outcome": error.name})
        raise
    except Unavailable:
        service.metrics.count("fieldpost_posts_total", {"outcome": "unavailable"})
        raise
    except TimeoutError as error:
        service.metrics.count("fieldpost_posts_total", {"outcome": "late"})
        raise Unavailable("the post is not in the log yet; send the same bytes again", 5) from error
    service.metrics.count("fieldpost_posts_total", {"outcome": "included"})
    return receipt


async def _result(service: NodeService, future: Future[Receipt]) -> dict[str, object]:
    try:
        receipt = await _included(service, future)
    except Rejected as error:
        return {"code": error.code, "name": error.name, "detail": error.detail}
    except Malformed as error:
        return {"code": MALFORMED, "name": "malformed", "detail": str(error)}
    return {"index": receipt.index, "size": receipt.size}


def _split(body: bytes, *, most: int) -> list[bytes]:
    entries = cbor.split_sequence(body, most=most)
    if not entries:
        raise Malformed("an empty sequence of posts")
    return entries


async def receipt(request: Request) -> Response:
    """The tlog-proof of an entry, by its SHA-256."""
    digest = path_bytes(request, "digest", 32)
    text = await asyncio.to_thread(service_of(request).receipt, digest)
    return answer_bytes(
        request, text, content_type="text/plain; charset=utf-8", cache="no-cache, no-transform"
    )


routes = [
    Route("/v1/posts", submit, methods=["POST"]),
    Route("/v1/receipts/{digest}", receipt),
]
