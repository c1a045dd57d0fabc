# SPDX-License-Identifier: Apache-2.0
"""`/v1/blobs/sha256/<hex>`: images by digest, with ranges; uploads that can be resumed.

Uploads follow draft-ietf-httpbis-resumable-upload: HEAD tells Upload-Offset and Upload-Complete,
PATCH with `application/partial-upload` appends at Upload-Offset, and Upload-Complete: ?1 ends it.
Who sends shows a permit by the maker (`fieldpost.posts.permit`) as a bearer token.
"""

from asyncio import to_thread
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fieldpost.errors import Malformed
from fieldpost.node.api.answers import FOREVER, is_known
from fieldpost.node.api.problems import Unauthorized
from fieldpost.node.api.ranges import parse_range
from fieldpost.node.api.requests import bearer_token, check_type, path_bytes, stream_body
from fieldpost.node.api.service_of import limits_of, service_of, unsent_of
from fieldpost.node.service import NodeService
from fieldpost.node.uploads import Upload
from fieldpost.posts.permit import MAX_PERMIT_BYTES

CHUNK_BYTES: Final = 512 * 1024
TLS_CHUNK_BYTES: Final = 64 * 1024
"""With TLS a piece can wait where its server does not see it (`fieldpost.node.unsent`)."""
BUFFER_BYTES: Final = 4 * 1024 * 1024
PARTIAL: Final = "application/partial-upload"


async def blob(request: Request) -> Response:
    """GET: the bytes, or a range of them. HEAD: how much of an upload is here, besides."""
    service = service_of(request)
    digest = path_bytes(request, "digest", 32)
    if request.method == "HEAD":
        return await _head(service, digest, bearer_token(request, most_bytes=MAX_PERMIT_BYTES))
    size = await to_thread(service.blobs.stored_bytes, digest)
    headers = _headers(digest)
    if is_known(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(None, 304, headers)
    asked = parse_range(_range_header(request, headers["ETag"]), size=size)
    start, end = asked or (0, size)
    headers["Content-Length"] = str(end - start)
    if asked is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    service.metrics.count("fieldpost_blob_bytes_total", by=end - start)
    usual = TLS_CHUNK_BYTES if request.url.scheme == "https" else CHUNK_BYTES
    # Whoever takes too little of it is let go by the protocol (`GuardedProtocol`), which sees
    # bytes where only pieces are seen here.
    return StreamingResponse(
        _chunks(service, digest, start, end, partial(unsent_of(request).piece, usual)),
        200 if asked is None else 206,
        headers,
        media_type="application/octet-stream",
    )


def _headers(digest: bytes) -> dict[str, str]:
    return {
        "Cache-Control": FOREVER,
        "ETag": f'"{digest.hex()}"',
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }


def _range_header(request: Request, etag: str) -> str | None:
    condition = request.headers.get("if-range")
    return request.headers.get("range") if condition in (None, etag) else None


async def _chunks(
    service: NodeService,
    digest: bytes,
    start: int,
    end: int,
    next_piece: Callable[[], AbstractContextManager[int]],
) -> AsyncIterator[bytes]:
    turns = service.turns
    number = turns.number()
    while start < end:
        async with turns.turn(number):
            with next_piece() as count:
                until = min(start + count, end)
                data = await to_thread(service.blobs.read, digest, start, until)
                if not data:
                    return
                yield data
            start += len(data)
            # Sent when the client has taken most of the piece; until then no other is read.
            del data
            yield b""


async def _head(service: NodeService, digest: bytes, permit: bytes | None) -> Response:
    upload = await to_thread(service.upload_state, digest, permit)
    headers = {
        "Upload-Offset": str(upload.offset),
        "Upload-Complete": "?1" if upload.complete else "?0",
    }
    if not upload.complete:
        return Response(None, 204, headers | {"Cache-Control": "no-store"})
    headers |= _headers(digest) | {"Content-Length": str(upload.offset)}
    return Response(None, 200, headers, media_type="application/octet-stream")


async def append(request: Request) -> Response:
    """PATCH: append to an upload, on disk before the answer."""
    service, limits = service_of(request), limits_of(request)
    digest = path_bytes(request, "digest", 32)
    check_type(request, PARTIAL)
    offset, complete = _upload_headers(request)
    permit = bearer_token(request, most_bytes=MAX_PERMIT_BYTES)
    if permit is None:
        raise Unauthorized(
            "no-permit", "an upload shows a permit by a release key of its maker: Bearer …"
        )
    upload = await to_thread(service.check_upload, digest, permit, offset)
    with service.uploading(upload):
        buffer = bytearray()
        body = stream_body(
            request,
            most_bytes=min(limits.piece_bytes, upload.size - offset),
            silence_s=limits.body_silence_s,
            total_s=limits.upload_s,
        )
        try:
            async for part in body:
                buffer += part
                if len(buffer) >= BUFFER_BYTES:
                    offset = await _save(service, upload, offset, buffer)
        finally:
            # Also what a client sent before it went away is kept: it resumes after that.
            offset = await _save(service, upload, offset, buffer)
        if complete:
            await to_thread(service.finish_upload, upload)
    headers = {"Upload-Offset": str(offset), "Upload-Complete": "?1" if complete else "?0"}
    return Response(None, 204, headers | {"Cache-Control": "no-store"})


async def _save(service: NodeService, upload: Upload, offset: int, buffer: bytearray) -> int:
    if not buffer:
        return offset
    data = bytes(buffer)
    buffer.clear()
    return await to_thread(service.save_piece, upload, offset, data)


def _upload_headers(request: Request) -> tuple[int, bool]:
    offset = request.headers.get("upload-offset", "")
    if not (offset.isascii() and offset.isdigit() and len(offset) < 19):
        raise Malformed("an upload names its Upload-Offset, a number of bytes; HEAD tells it")
    complete = request.headers.get("upload-complete", "")
    if complete not in ("?0", "?1"):
        raise Malformed("an upload says Upload-Complete: ?0, or ?1 with its last piece")
    return int(offset), complete == "?1"


routes = [
    Route("/v1/blobs/sha256/{digest}", blob),
    Route("/v1/blobs/sha256/{digest}", append, methods=["PATCH"]),
]
