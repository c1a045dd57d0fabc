# SPDX-License-Identifier: Apache-2.0
"""Lots, devices and reports over HTTP, on a lot that is really posted."""

import pytest

from fieldpost import cbor
from fieldpost.errors import Conflict, Malformed, NotFound, Untrusted
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.lot import LotTree, verify_membership
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, ReportedComponent, sign_report
from fieldpost.keys import Algorithm
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.testing.signers import DeterministicSigner
from tests.unit.node.running_node import Running, with_class

SIGNERS = [DeterministicSigner(Algorithm.ESP256, f"device/{n}") for n in range(3)]


def enrol(node: Running, world: MirroredBoard) -> tuple[bytes, list[bytes]]:
    """Post a lot of three devices; its id and leaves."""
    class_id = world.maker.class_id("tracker")
    leaves = [DeviceLeaf(f"SN{n}", s.public_key, class_id).encode() for n, s in enumerate(SIGNERS)]
    root = LotTree.build(leaves).root
    node.post(world, world.maker.lot_enrol(count=3, root=root))
    return world.maker.lot_id(count=3, root=root), leaves


def put_leaves(node: Running, lot: bytes, leaves: list[bytes]) -> None:
    body = cbor.encode(leaves)
    node.http.send("PUT", f"/v1/lots/{lot.hex()}/leaves", body, content_type="application/cbor")


def send_report(node: Running, counter: int = 1, outcome: Outcome = Outcome.CONFIRMED) -> None:
    report = Report(
        board=node.board,
        device=SIGNERS[0].public_key.thumbprint(),
        boot_count=1,
        counter=counter,
        components=(ReportedComponent(0, 10, b"i" * 32),),
        outcome=outcome,
    )
    data = sign_report(report, SIGNERS[0])
    answer = node.http.send("POST", "/v1/reports", data, content_type="application/eat+cwt")
    assert (answer.status, answer.body) == (204, b"")


def test_a_lot_is_shown_and_its_leaves_are_taken(node: Running) -> None:
    world = with_class(node)
    lot, leaves = enrol(node, world)
    path = f"/v1/lots/{lot.hex()}"
    view = node.http.send("GET", path).json()
    assert isinstance(view, dict)
    assert (view["count"], view["leaves_stored"]) == (3, False)
    with pytest.raises(Untrusted, match="wrong-root"):
        put_leaves(node, lot, leaves[::-1])
    put_leaves(node, lot, leaves)
    put_leaves(node, lot, leaves)
    view = node.http.send("GET", path).json()
    assert isinstance(view, dict)
    assert view["leaves_stored"]


def test_a_device_finds_its_proof(node: Running) -> None:
    lot, leaves = enrol(node, with_class(node))
    device = SIGNERS[1].public_key.thumbprint()
    with pytest.raises(NotFound):
        node.http.fetch(f"/v1/devices/{device.hex()}")
    put_leaves(node, lot, leaves)
    match cbor.decode(node.http.fetch(f"/v1/devices/{device.hex()}", accept="application/cbor")):
        case (bytes(found), int(index), int(count), bytes(leaf), tuple(path)):
            hashes = tuple(item for item in path if isinstance(item, bytes))
        case other:
            raise AssertionError(other)
    root = LotTree.build(leaves).root
    shown = verify_membership(leaf=leaf, index=index, count=count, root=root, path=hashes)
    assert (found, shown.device) == (lot, device)


def test_reports_are_counted_once_and_replays_refused(node: Running) -> None:
    world = with_class(node)
    lot, leaves = enrol(node, world)
    put_leaves(node, lot, leaves)
    send_report(node, counter=5)
    send_report(node, counter=5)
    with pytest.raises(Conflict, match="replayed"):
        send_report(node, counter=5, outcome=Outcome.FAILED)
    with pytest.raises(Conflict, match="replayed"):
        send_report(node, counter=4)
    summary = node.http.send("GET", f"/v1/fleet/{world.maker.class_id('tracker').hex()}").json()
    assert isinstance(summary, dict)
    assert summary["releases"] == {"10": {"confirmed": 1, "failed": 0, "reverted": 0, "running": 1}}
    assert (summary["devices"], summary["never_seen"]) == (3, 2)


def test_a_device_in_no_lot_is_told_what_to_do(node: Running) -> None:
    with pytest.raises(Untrusted, match="enrol its lot"):
        send_report(node)


def test_what_is_no_report_is_refused(node: Running) -> None:
    for body, kind in ((b"\x00", "application/eat+cwt"), (b"{}", "application/json")):
        with pytest.raises(Malformed):
            node.http.send("POST", "/v1/reports", body, content_type=kind)
    with pytest.raises(Malformed):
        node.http.send("POST", "/v1/reports", b"x" * 9_000, content_type="application/eat+cwt")
