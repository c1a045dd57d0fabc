# SPDX-License-Identifier: Apache-2.0
"""`/healthz`, `/readyz`, `/metrics`: for whoever keeps the process running."""

from asyncio import to_thread

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fieldpost.node.metrics import CONTENT_TYPE, Metrics


async def healthz(_request: Request) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n", headers={"Cache-Control": "no-store"})


async def readyz(request: Request) -> Response:
    """It also has what it needs to serve; raises Unavailable otherwise."""
    await to_thread(request.app.state.check_ready)
    return PlainTextResponse("ready\n", headers={"Cache-Control": "no-store"})


async def metrics(request: Request) -> Response:
    """Counters and gauges for Prometheus."""
    found = request.app.state.metrics
    assert isinstance(found, Metrics)
    headers = {"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE}
    return Response((await to_thread(found.render)).encode(), headers=headers)


routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
