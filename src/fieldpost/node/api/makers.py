# SPDX-License-Identifier: Apache-2.0
"""`/v1/makers/<id>`: a maker's record for people, and its chain of links for verifiers."""

from asyncio import to_thread

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost import cbor
from fieldpost.node.api.answers import BRIEF, CBOR, answer_bytes, answer_json
from fieldpost.node.api.requests import path_bytes, query_int
from fieldpost.node.api.service_of import service_of


async def maker(request: Request) -> Response:
    """The view. Whether the maker controls a domain is said only once operators attested it."""
    return answer_json(service_of(request).maker_view(path_bytes(request, "maker", 16)))


async def links(request: Request) -> Response:
    """The next entries of the links after epoch `since` (default -1), oldest first."""
    since = query_int(request, "since")
    maker_id = path_bytes(request, "maker", 16)
    entries = await to_thread(
        service_of(request).maker_links, maker_id, -1 if since is None else since
    )
    return answer_bytes(request, cbor.encode(entries), content_type=CBOR, cache=BRIEF)


routes = [Route("/v1/makers/{maker}", maker), Route("/v1/makers/{maker}/links", links)]
