# SPDX-License-Identifier: Apache-2.0
"""`/log/`: the log's own static files (C2SP tlog-tiles). Any web server may serve them instead."""

from asyncio import to_thread
from hashlib import sha256
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.node.api.answers import FOREVER, answer_bytes
from fieldpost.node.api.service_of import service_of

TEXT: Final = "text/plain; charset=utf-8"
BYTES: Final = "application/octet-stream"


async def checkpoint(request: Request) -> Response:
    """The published checkpoint: asked for every time, so that everybody sees the newest."""
    note = await to_thread(service_of(request).checkpoint)
    return answer_bytes(
        request,
        note,
        content_type=TEXT,
        cache="no-cache, no-transform",
        etag=f'"{sha256(note).hexdigest()[:32]}"',
    )


async def tile(request: Request) -> Response:
    """A tile or an entry bundle; neither ever changes."""
    path = f"tile/{request.path_params['path']}"
    data = await to_thread(service_of(request).log_file, path)
    return answer_bytes(request, data, content_type=BYTES, cache=FOREVER)


routes = [Route("/log/checkpoint", checkpoint), Route("/log/tile/{path:path}", tile)]
