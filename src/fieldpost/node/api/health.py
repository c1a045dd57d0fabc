# SPDX-License-Identifier: Apache-2.0
"""`/healthz`, `/readyz`: for whoever sends requests here. Metrics have a server of their own."""

from asyncio import to_thread

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


async def healthz(_request: Request) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n", headers={"Cache-Control": "no-store"})


async def readyz(request: Request) -> Response:
    """It also has what it needs to serve; raises Unavailable otherwise.

    Who only follows a board says how far behind it is.
    """
    said = await to_thread(request.app.state.check_ready)
    text = f"ready: {said}\n" if said else "ready\n"
    return PlainTextResponse(text, headers={"Cache-Control": "no-store"})


routes = [Route("/healthz", healthz), Route("/readyz", readyz)]
