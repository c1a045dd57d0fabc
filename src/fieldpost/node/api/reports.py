# SPDX-License-Identifier: Apache-2.0
"""`/v1/reports` and `/v1/fleet/<class>`: what devices say, and what that adds up to."""

from asyncio import shield, to_thread, wait_for, wrap_future
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.errors import Unavailable
from fieldpost.node.api.answers import answer_json
from fieldpost.node.api.requests import check_type, path_bytes, read_body
from fieldpost.node.api.service_of import fleet_of, limits_of

CONTENT_TYPE: Final = "application/eat+cwt"


async def report(request: Request) -> Response:
    """204 once the report is verified and on the disk."""
    limits = limits_of(request)
    check_type(request, CONTENT_TYPE)
    data = await read_body(
        request,
        most_bytes=limits.report_bytes,
        silence_s=limits.body_silence_s,
        total_s=limits.body_s,
    )
    stored = shield(wrap_future(fleet_of(request).take_report(data)))
    try:
        await wait_for(stored, limits.commit_s)
    except TimeoutError as error:
        raise Unavailable("the report is not stored yet; send the same bytes again", 5) from error
    return Response(None, 204)


async def fleet(request: Request) -> Response:
    """Counts per release: confirmed, failed, reverted; and in all: stale, never seen."""
    class_id = path_bytes(request, "class_id", 16)
    return answer_json(await to_thread(fleet_of(request).summary, class_id))


async def device(request: Request) -> Response:
    """One device: its status on the board, its newest report, and whether a clone is suspected."""
    device_id = path_bytes(request, "device", 32)
    return answer_json(await to_thread(fleet_of(request).device_view, device_id))


routes = [
    Route("/v1/reports", report, methods=["POST"]),
    Route("/v1/fleet/devices/{device}", device),
    Route("/v1/fleet/{class_id}", fleet),
]
