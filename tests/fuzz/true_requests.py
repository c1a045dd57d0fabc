# SPDX-License-Identifier: Apache-2.0
"""True requests to every endpoint of a node, about what was really posted and uploaded there."""

from dataclasses import replace
from hashlib import sha256
from typing import Final

from fieldpost import cbor
from fieldpost.checkin.evidence import make_evidence
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.lot import LotTree
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, ReportedComponent, sign_report
from fieldpost.keys import Algorithm
from fieldpost.ledger.reading import read_board
from fieldpost.node.api.reports import EVIDENCE
from fieldpost.node.app import Node
from fieldpost.records import map_keys
from fieldpost.testing import maker_posts
from fieldpost.testing.liar_members import Members
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.tiles import entries_path, tile_at, tile_path
from tests.fuzz.requests import Request
from tests.unit.node.asked import ask, post, world_of
from tests.unit.node.running_node import NOW, Published, bearer, release_of

_SIGNERS: Final = [DeterministicSigner(Algorithm.ESP256, f"device/{n}") for n in range(3)]

Headers = tuple[tuple[bytes, bytes], ...]


def get(path: str, query: bytes = b"", *headers: tuple[bytes, bytes]) -> tuple[Request, Request]:
    """GET and HEAD of a path."""
    rows = (Request(method, path.encode(), query, headers) for method in ("GET", "HEAD"))
    first, second = rows
    return first, second


def send(method: str, path: str, kind: str, body: bytes, more: Headers = ()) -> Request:
    """A request with a body of a content type."""
    headers = ((b"content-type", kind.encode()), *more)
    return Request(method, path.encode(), headers=headers, body=body)


def _permit(release: Published) -> tuple[bytes, bytes]:
    value = bearer(release.permit)["Authorization"]
    return b"authorization", value.encode()


def _piece(release: Published, start: int, end: int) -> Request:
    complete = b"?1" if end == len(release.image) else b"?0"
    offset = str(start).encode()
    more = (_permit(release), (b"upload-offset", offset), (b"upload-complete", complete))
    path = f"/v1/blobs/sha256/{sha256(release.image).hexdigest()}"
    return send("PATCH", path, "application/partial-upload", release.image[start:end], more)


def _report(board: str, device: DeterministicSigner, counter: int) -> bytes:
    report = Report(
        board=board,
        device=device.public_key.thumbprint(),
        boot_count=1,
        counter=counter,
        components=(ReportedComponent(0, 10, b"i" * 32),),
        outcome=Outcome.CONFIRMED,
    )
    return sign_report(report, device)


def evidence_of(node: Node) -> bytes:
    """Two heads of the newest size, both signed by the board's own operator."""
    service = node.app.state.node
    head = service.head()
    members = Members.load([service.blobs._root.parent], read_board(head.map))
    other = replace(head.checkpoint, root=bytes(32))
    note = members.note(other, members.cosign(other, at=head.timestamp))
    return make_evidence(node.board, (head.note, note), links=()).encode()


async def true_requests(node: Node) -> dict[str, tuple[Request, ...]]:
    """Fill a new board with one of everything; the requests by endpoint, as `GET|HEAD /v1/board`.

    Of the two releases the newer one is whole, and of the older one's image half is there.
    """
    world = world_of(node)
    maker = world.maker
    class_id = maker.class_id("tracker")
    for entry in (maker.registration(), maker.class_set()):
        await post(node, world, entry)
    old_entry, old = release_of(world, 10, 1_000)
    await post(node, world, old_entry)
    new_entry, new = release_of(world, 11, 1_000)
    await post(node, world, new_entry)
    offers = (maker.offer(11, 2**30), maker.offer(10))
    await post(node, world, maker.rollout_set(*offers))
    leaves = [DeviceLeaf(f"SN{n}", s.public_key, class_id).encode() for n, s in enumerate(_SIGNERS)]
    root = LotTree.build(leaves).root
    await post(node, world, maker.lot_enrol(count=len(leaves), root=root))
    lot = maker.lot_id(count=len(leaves), root=root).hex()
    device = _SIGNERS[0].public_key.thumbprint().hex()

    manifests = f"/v1/manifests/{new.record.manifest.hex()}"
    put_manifest = send("PUT", manifests, "application/suit-envelope+cose", new.envelope)
    put_leaves = send("PUT", f"/v1/lots/{lot}/leaves", "application/cbor", cbor.encode(leaves))
    reports = [
        send("POST", "/v1/reports", "application/eat+cwt", _report(node.board, signer, counter))
        for counter, signer in enumerate(_SIGNERS, 1)
    ]
    pieces = (_piece(new, 0, 1_000), _piece(old, 0, 500))
    for request in (put_manifest, put_leaves, reports[0], *pieces):
        found = await ask(
            node.app, request.method, request.target, headers=request.headers, body=[request.body]
        )
        assert found.status == 204, (request, found)

    tile = tile_at(level=0, index=0, size=node.app.state.node.head().size)
    later = maker_posts.maker_set(maker, contact="later@acme.example")
    blob = f"/v1/blobs/sha256/{sha256(new.image).hexdigest()}"
    half = f"/v1/blobs/sha256/{sha256(old.image).hexdigest()}"
    tag = (b"if-none-match", f'"{sha256(new.image).hexdigest()}"'.encode())
    classes, fleet = f"/v1/classes/{class_id.hex()}", f"/v1/fleet/{class_id.hex()}"
    checkin, makers = f"/v1/checkin/{class_id.hex()}/stable", f"/v1/makers/{maker.id.hex()}"
    proof = f"/v1/proof/{map_keys.maker(maker.id).hex()}"
    period = f"from={NOW - 86_400}&to={NOW - 1}".encode()
    return {
        "GET|HEAD /log/checkpoint": get("/log/checkpoint"),
        "GET|HEAD /log/tile/{path}": (
            *get(f"/log/{entries_path(tile)}"),
            *get(f"/log/{tile_path(tile)}"),
        ),
        "POST /v1/posts": (
            send("POST", "/v1/posts", "application/cose", new_entry),
            send("POST", "/v1/posts", "application/cose", later),
            send("POST", "/v1/posts", "application/cbor-seq", old_entry + new_entry),
        ),
        "GET|HEAD /v1/receipts/{digest}": get(f"/v1/receipts/{sha256(new_entry).hexdigest()}"),
        "GET|HEAD /v1/checkin/{class_id}/{channel}": get(checkin),
        "GET|HEAD /v1/checkin/{class_id}/{channel}/mldsa": get(checkin + "/mldsa"),
        "GET|HEAD /v1/proof/{key}": (
            *get(proof, f"maker={maker.id.hex()}".encode()),
            *get(f"/v1/proof/{bytes(32).hex()}"),
        ),
        "GET|HEAD /v1/manifests/{digest}": get(manifests),
        "PUT /v1/manifests/{digest}": (put_manifest,),
        "GET|HEAD /v1/blobs/sha256/{digest}": (
            *get(blob, b"", (b"range", b"bytes=10-99")),
            *get(blob, b"", tag),
            *get(half, b"", _permit(old)),
        ),
        "PATCH /v1/blobs/sha256/{digest}": (_piece(old, 500, 600), _piece(old, 500, 1_000)),
        "GET|HEAD /v1/board": (*get("/v1/board"), *get("/v1/board", b"since=0")),
        "GET|HEAD /v1/cosignatures/{size}": get(f"/v1/cosignatures/{world.state.size}"),
        "GET|HEAD /v1/fleet/heads": get("/v1/fleet/heads"),
        "GET|HEAD /v1/fleet/evidence": get("/v1/fleet/evidence", b"after=0"),
        "POST /v1/fleet/evidence": (
            send("POST", "/v1/fleet/evidence", EVIDENCE, evidence_of(node)),
        ),
        "GET|HEAD /v1/makers/{maker}": get(makers),
        "GET|HEAD /v1/makers/{maker}/links": get(makers + "/links", b"since=0"),
        "GET|HEAD /v1/classes/{class_id}": get(classes),
        "GET|HEAD /v1/classes/{class_id}/releases": get(classes + "/releases"),
        "GET|HEAD /v1/lots/{lot}": get(f"/v1/lots/{lot}"),
        "PUT /v1/lots/{lot}/leaves": (put_leaves,),
        "GET|HEAD /v1/devices/{device}": get(f"/v1/devices/{device}"),
        "POST /v1/reports": tuple(reports),
        "GET|HEAD /v1/fleet/devices/{device}": get(f"/v1/fleet/devices/{device}"),
        "GET|HEAD /v1/fleet/{class_id}": get(fleet),
        "GET|HEAD /v1/fleet/{class_id}/period": get(fleet + "/period", period),
        "GET|HEAD /v1/fleet/{class_id}/period/{device}": get(f"{fleet}/period/{device}", period),
        "GET|HEAD /healthz": get("/healthz"),
        "GET|HEAD /readyz": get("/readyz"),
        "GET|HEAD /problems/{name}": get("/problems/malformed"),
    }
