# SPDX-License-Identifier: Apache-2.0
"""`/v1/lots/<id>` and `/v1/devices/<id>`: posted lots, their leaves, and one device's proof."""

from asyncio import to_thread

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.node.api.answers import BRIEF, CBOR, answer_bytes, answer_json
from fieldpost.node.api.requests import check_type, path_bytes, read_body
from fieldpost.node.api.service_of import fleet_of, limits_of


async def lot(request: Request) -> Response:
    """What the board says of a lot, and whether its leaves are here."""
    lot_id = path_bytes(request, "lot", 16)
    return answer_json(await to_thread(fleet_of(request).lot_view, lot_id))


async def put_leaves(request: Request) -> Response:
    """Take a lot's leaves, a CBOR array of byte strings that makes the posted root."""
    lot_id, limits = path_bytes(request, "lot", 16), limits_of(request)
    check_type(request, CBOR)
    data = await read_body(
        request,
        most_bytes=limits.lot_bytes,
        silence_s=limits.body_silence_s,
        total_s=limits.upload_s,
    )
    await to_thread(fleet_of(request).store_leaves, lot_id, data)
    return Response(None, 204)


async def device(request: Request) -> Response:
    """CBOR [lot id, index, count, leaf, [path…]]: a device's proof that it is in its lot."""
    device_id = path_bytes(request, "device", 32)
    data = await to_thread(fleet_of(request).device_proof, device_id)
    return answer_bytes(request, data, content_type=CBOR, cache=BRIEF)


routes = [
    Route("/v1/lots/{lot}", lot),
    Route("/v1/lots/{lot}/leaves", put_leaves, methods=["PUT"]),
    Route("/v1/devices/{device}", device),
]
