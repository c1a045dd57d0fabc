# SPDX-License-Identifier: Apache-2.0
"""`/v1/classes/<id>`: a class, its channels and its releases."""

from asyncio import to_thread

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.node.api.answers import answer_json
from fieldpost.node.api.requests import path_bytes
from fieldpost.node.api.service_of import service_of


async def device_class(request: Request) -> Response:
    """The class with the head of each channel."""
    return answer_json(service_of(request).class_view(path_bytes(request, "class_id", 16)))


async def releases(request: Request) -> Response:
    """The releases, newest first, and which of their files are here."""
    class_id = path_bytes(request, "class_id", 16)
    return answer_json(await to_thread(service_of(request).releases_view, class_id))


routes = [
    Route("/v1/classes/{class_id}", device_class),
    Route("/v1/classes/{class_id}/releases", releases),
]
