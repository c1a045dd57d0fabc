# SPDX-License-Identifier: Apache-2.0
"""`/v1/reports` and `/v1/fleet/…`: what devices say, and what that adds up to."""

from asyncio import to_thread
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.fleet.evidence import MOST_SENT_BYTES
from fieldpost.node.api.answers import answer_json
from fieldpost.node.api.requests import check_type, path_bytes, query_int, read_body
from fieldpost.node.api.service_of import fleet_of, limits_of, taker_of
from fieldpost.node.report_relay import RELAYED
from fieldpost.node.reporting import REPORT
from fieldpost.node.taking import taken

PATH: Final = "/v1/reports"
EVIDENCE: Final = "application/vnd.fieldpost.evidence+cbor"


async def report(request: Request) -> Response:
    """204 once the report is verified and on the disk."""
    taker, limits = taker_of(request, PATH), limits_of(request)
    kind = check_type(request, REPORT, RELAYED)
    data = await read_body(
        request,
        most_bytes=taker.most_bytes(kind),
        silence_s=limits.body_silence_s,
        total_s=limits.body_s,
    )
    return await taken(taker, kind, data)


async def fleet(request: Request) -> Response:
    """Counts per release: confirmed, failed, reverted; and in all: stale, never seen."""
    class_id = path_bytes(request, "class_id", 16)
    return answer_json(await to_thread(fleet_of(request).summary, class_id))


async def device(request: Request) -> Response:
    """One device: its status on the board, its newest report, and whether a clone is suspected."""
    device_id = path_bytes(request, "device", 32)
    return answer_json(await to_thread(fleet_of(request).device_view, device_id))


async def period(request: Request) -> Response:
    """What a `fleet.summary` of a class would say: reports kept in a period, root, outcomes."""
    class_id = path_bytes(request, "class_id", 16)
    start, end = query_int(request, "from"), query_int(request, "to")
    return answer_json(await to_thread(fleet_of(request).period_view, class_id, start, end))


async def period_of_device(request: Request) -> Response:
    """The reports kept of one device in a period, each with its path to the period's root."""
    class_id = path_bytes(request, "class_id", 16)
    device_id = path_bytes(request, "device", 32)
    start, end = query_int(request, "from"), query_int(request, "to")
    proofs = fleet_of(request).period_proofs
    return answer_json(await to_thread(proofs, class_id, device_id, start, end))


async def heads(request: Request) -> Response:
    """Heads of the log that devices verified, at most 1,000 after a number, oldest first."""
    after = query_int(request, "after") or 0
    return answer_json(await to_thread(fleet_of(request).heads_view, after))


async def evidence(request: Request) -> Response:
    """Evidence of split views that devices sent, at most 16 files after a number, oldest first."""
    after = query_int(request, "after") or 0
    return answer_json(await to_thread(fleet_of(request).evidence_view, after))


async def take_evidence(request: Request) -> Response:
    """204 once the evidence is verified and on the disk."""
    limits = limits_of(request)
    check_type(request, EVIDENCE)
    data = await read_body(
        request,
        most_bytes=MOST_SENT_BYTES,
        silence_s=limits.body_silence_s,
        total_s=limits.body_s,
    )
    await to_thread(fleet_of(request).take_evidence, data)
    return Response(None, 204)


routes = [
    Route(PATH, report, methods=["POST"]),
    Route("/v1/fleet/heads", heads),
    Route("/v1/fleet/evidence", evidence),
    Route("/v1/fleet/evidence", take_evidence, methods=["POST"]),
    Route("/v1/fleet/devices/{device}", device),
    Route("/v1/fleet/{class_id}", fleet),
    Route("/v1/fleet/{class_id}/period", period),
    Route("/v1/fleet/{class_id}/period/{device}", period_of_device),
]
