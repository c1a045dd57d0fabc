# SPDX-License-Identifier: Apache-2.0
"""`/v1/manifests/<digest>`: SUIT envelopes of posted releases, from makers to devices."""

from asyncio import to_thread
from hashlib import sha256
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.node.api.answers import answer_bytes
from fieldpost.node.api.requests import check_type, path_bytes, read_body
from fieldpost.node.api.service_of import service_of

CONTENT_TYPE: Final = "application/suit-envelope+cose"


async def manifest(request: Request) -> Response:
    """The envelope. Signatures may be added later, so caches keep it for minutes only."""
    digest = path_bytes(request, "digest", 32)
    data = await to_thread(service_of(request).load_manifest, digest)
    return answer_bytes(
        request,
        data,
        content_type=CONTENT_TYPE,
        cache="public, max-age=300, no-transform",
        etag=f'"{sha256(data).hexdigest()[:32]}"',
    )


async def put_manifest(request: Request) -> Response:
    """Take an envelope that a posted release names and its maker's keys have signed."""
    service = service_of(request)
    digest = path_bytes(request, "digest", 32)
    check_type(request, CONTENT_TYPE)
    data = await read_body(
        request,
        most_bytes=service.limits.manifest_bytes,
        silence_s=service.limits.body_silence_s,
        total_s=service.limits.body_s,
    )
    await to_thread(service.store_manifest, digest, data)
    return Response(None, 204)


routes = [
    Route("/v1/manifests/{digest}", manifest),
    Route("/v1/manifests/{digest}", put_manifest, methods=["PUT"]),
]
