# SPDX-License-Identifier: Apache-2.0
"""`/v1/cosignatures/SIZE`: what is signed over a size, for the other operators."""

from asyncio import to_thread

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.node.api.answers import answer_bytes
from fieldpost.node.api.log import TEXT
from fieldpost.node.api.requests import path_number
from fieldpost.node.api.service_of import service_of


async def cosignatures(request: Request) -> Response:
    """A signed note over that size; more lines, and later ones, may come.

    404 where nothing is signed here, yet or any more.
    """
    note = await to_thread(service_of(request).cosigned, path_number(request, "size"))
    return answer_bytes(request, note, content_type=TEXT, cache="no-cache, no-transform")


routes = [Route("/v1/cosignatures/{size}", cosignatures)]
