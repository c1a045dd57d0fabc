# SPDX-License-Identifier: Apache-2.0
"""`/v1/checkin` and `/v1/proof`: bundles of prepared bytes, the same for every device.

They verify themselves, so plain HTTP and any cache may carry them. Hot path: no thread, no disk.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.node.api.answers import answer_bytes
from fieldpost.node.api.requests import path_bytes, query_bytes
from fieldpost.node.api.service_of import service_of
from fieldpost.node.checkins import Prepared

CONTENT_TYPE: Final = "application/vnd.fieldpost.checkin+cbor"


async def checkin(request: Request) -> Response:
    """What a channel offers, proven."""
    return _checkin(request, post_quantum=False)


async def checkin_post_quantum(request: Request) -> Response:
    """The same with the ML-DSA cosignatures."""
    return _checkin(request, post_quantum=True)


def _checkin(request: Request, *, post_quantum: bool) -> Response:
    class_id = path_bytes(request, "class_id", 16)
    channel = str(request.path_params["channel"])
    prepared = service_of(request).checkin(class_id, channel, post_quantum=post_quantum)
    return _answer(request, prepared)


async def proof(request: Request) -> Response:
    """The value under any map key, or its absence, proven.

    `?maker=<hex>`: at the size that this maker's device policy accepts, instead of the newest.
    """
    key = path_bytes(request, "key", 32)
    maker = query_bytes(request, "maker", 16)
    return _answer(request, service_of(request).proof(key, maker=maker))


def _answer(request: Request, prepared: Prepared) -> Response:
    seconds = service_of(request).rest_s(prepared)
    return answer_bytes(
        request,
        prepared.body,
        content_type=CONTENT_TYPE,
        cache=f"public, max-age={seconds}, no-transform",
        etag=prepared.etag,
    )


routes = [
    Route("/v1/checkin/{class_id}/{channel}", checkin),
    Route("/v1/checkin/{class_id}/{channel}/mldsa", checkin_post_quantum),
    Route("/v1/proof/{key}", proof),
]
