# SPDX-License-Identifier: Apache-2.0
"""`/v1/board`: the board's record for people, and its chain of links for verifiers."""

from asyncio import to_thread

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost import cbor
from fieldpost.node.api.answers import BRIEF, CBOR, answer_bytes, answer_json
from fieldpost.node.api.requests import query_int
from fieldpost.node.api.service_of import service_of


async def board(request: Request) -> Response:
    """The view; with `?since=E` the next entries of links after epoch E instead."""
    service = service_of(request)
    since = query_int(request, "since")
    if since is None:
        return answer_json(service.board_view())
    links = await to_thread(service.board_links, since)
    return answer_bytes(request, cbor.encode(links), content_type=CBOR, cache=BRIEF)


routes = [Route("/v1/board", board)]
