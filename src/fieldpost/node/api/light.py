# SPDX-License-Identifier: Apache-2.0
"""`/v1/light`: what a light client asks of the chain of blocks, where there is one.

For CometBFT's state sync (`cometbft.state_sync` of a node that begins), which names this as its
RPC server. Boards that one node writes have no such route.
"""

from asyncio import to_thread
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.engines.cometbft.light import MOST_QUESTION_BYTES
from fieldpost.node.api.requests import read_body
from fieldpost.node.api.service_of import limits_of

PATH = "/v1/light"
JSON = "application/json"


def routes(answer: Callable[[bytes], bytes]) -> list[Route]:
    """The route over whoever answers."""

    async def light(request: Request) -> Response:
        """A JSON-RPC 2.0 request, one of three methods; CometBFT's answer to it."""
        limits = limits_of(request)
        question = await read_body(
            request,
            most_bytes=MOST_QUESTION_BYTES,
            silence_s=limits.body_silence_s,
            total_s=limits.body_s,
        )
        body = await to_thread(answer, question)
        return Response(body, headers={"Content-Type": JSON, "Cache-Control": "no-store"})

    return [Route(PATH, light, methods=["POST"])]
