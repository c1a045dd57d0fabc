# SPDX-License-Identifier: Apache-2.0
"""`/v1/lots/<id>` and `/v1/devices/<id>`: posted lots, their leaves, and one device's proof."""

from asyncio import to_thread
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.node.api.answers import BRIEF, CBOR, answer_bytes, answer_json
from fieldpost.node.api.requests import check_type, path_bytes, stream_body
from fieldpost.node.api.service_of import client_of, fleet_of, limits_of, spool_of
from fieldpost.node.spool import PIECE_BYTES, Spooled


async def lot(request: Request) -> Response:
    """What the board says of a lot, and whether its leaves are here."""
    lot_id = path_bytes(request, "lot", 16)
    return answer_json(await to_thread(fleet_of(request).lot_view, lot_id))


async def put_leaves(request: Request) -> Response:
    """Take a lot's leaves, a CBOR array of byte strings that makes the posted root."""
    lot_id, limits, spool = path_bytes(request, "lot", 16), limits_of(request), spool_of(request)
    check_type(request, CBOR)
    fleet = fleet_of(request)
    with spool.admitted(client_of(request)):
        most_bytes = min(limits.lot_bytes, await to_thread(fleet.most_leaves_bytes, lot_id))
        body = stream_body(
            request,
            most_bytes=most_bytes,
            silence_s=limits.body_silence_s,
            total_s=min(limits.upload_s, limits.body_s + most_bytes / limits.least_bytes_per_s),
        )
        spooled = await to_thread(spool.begin, most_bytes)
        try:
            await _fill(spooled, body)
            await to_thread(fleet.store_leaves, lot_id, spooled)
        finally:
            await to_thread(spooled.discard)
    return Response(None, 204)


async def _fill(spooled: Spooled, body: AsyncIterator[bytes]) -> None:
    buffer = bytearray()
    async for part in body:
        buffer += part
        if len(buffer) >= PIECE_BYTES:
            await to_thread(spooled.append, bytes(buffer))
            buffer.clear()
    await to_thread(spooled.append, bytes(buffer))


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
