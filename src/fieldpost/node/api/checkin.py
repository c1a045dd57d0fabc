# SPDX-License-Identifier: Apache-2.0
"""`/v1/checkin` and `/v1/proof`: bundles of prepared bytes, the same for every device.

They verify themselves, so plain HTTP and any cache may carry them. Hot path: no thread, no disk.
"""

from asyncio import get_running_loop
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.node.api.answers import answer_bytes, answer_unchanged, is_known
from fieldpost.node.api.requests import path_bytes, query_bytes
from fieldpost.node.api.service_of import fast_of, service_of
from fieldpost.node.checkins import Prepared

ASK_AGAIN: Final = "public, no-cache, no-transform"
CONTENT_TYPE: Final = "application/vnd.fieldpost.checkin+cbor"


async def checkin(request: Request) -> Response:
    """What a channel offers, proven."""
    return _checkin(request, post_quantum=False)


async def checkin_post_quantum(request: Request) -> Response:
    """The same with the ML-DSA cosignatures."""
    return _checkin(request, post_quantum=True)


def _checkin(request: Request, *, post_quantum: bool) -> Response:
    generation = fast_of(request).generation
    class_id = path_bytes(request, "class_id", 16)
    channel = str(request.path_params["channel"])
    prepared = service_of(request).checkin(class_id, channel, post_quantum=post_quantum)
    cache = _cache(request, prepared)
    full = Response(
        prepared.body,
        headers={"Cache-Control": cache, "Content-Type": CONTENT_TYPE, "ETag": prepared.etag},
    )
    unchanged = answer_unchanged(cache=cache, etag=prepared.etag)
    fast_of(request).keep(
        request.scope["raw_path"],
        full=full,
        unchanged=unchanged,
        etag=prepared.etag,
        now=get_running_loop().time(),
        generation=generation,
    )
    asked = request.headers.get("if-none-match")
    return unchanged if is_known(asked, prepared.etag) else full


async def proof(request: Request) -> Response:
    """The value under any map key, or its absence, proven.

    `?maker=<hex>`: at the size that this maker's device policy accepts, instead of the newest.
    """
    key = path_bytes(request, "key", 32)
    maker = query_bytes(request, "maker", 16)
    return _answer(request, service_of(request).proof(key, maker=maker))


def _answer(request: Request, prepared: Prepared) -> Response:
    return answer_bytes(
        request,
        prepared.body,
        content_type=CONTENT_TYPE,
        # Who has just posted asks what stands now: an answer may be kept, and must be asked about.
        cache=ASK_AGAIN,
        etag=prepared.etag,
    )


def _cache(request: Request, prepared: Prepared) -> str:
    return f"public, max-age={service_of(request).rest_s(prepared)}, no-transform"


routes = [
    Route("/v1/checkin/{class_id}/{channel}", checkin),
    Route("/v1/checkin/{class_id}/{channel}/mldsa", checkin_post_quantum),
    Route("/v1/proof/{key}", proof),
]
