# SPDX-License-Identifier: Apache-2.0
"""A fleet service apart from any node: it believes the board's proofs, and no node."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost import cbor
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Misconfigured, NotFound, Unavailable
from fieldpost.fleet.board_lots import BoardLots
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.lot import LotTree
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, ReportedComponent, sign_report
from fieldpost.keys import Algorithm
from fieldpost.node.fleet_alone import open_fleet
from fieldpost.node.server import Server
from fieldpost.posts import subjects
from fieldpost.posts.envelope import decode_post
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.maker import Role
from fieldpost.records.provisioning import ProvisioningRecord
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.testing.signers import DeterministicSigner
from tests.unit.node.running_node import NOW, Running, running, with_class

SIGNER = DeterministicSigner(Algorithm.ED25519, "device/0")


def links(node: Running, path: str) -> list[bytes]:
    value = cbor.decode(node.http.fetch(f"{path}?since=-1"))
    assert isinstance(value, tuple)
    return [item for item in value if isinstance(item, bytes)]


def provisioning(node: Running, world: MirroredBoard) -> bytes:
    """What the maker gives its devices, and its fleet service."""
    board = links(node, "/v1/board")[-1]
    maker = links(node, f"/v1/makers/{world.maker.id.hex()}/links")[-1]
    class_id = world.maker.class_id("tracker")
    record = ProvisioningRecord(
        board=node.board,
        urls=(node.url,),
        board_record=decode_post(board).statement.payload,
        board_link=sha256(board).digest(),
        maker=world.maker.id,
        maker_record=decode_post(maker).statement.payload,
        maker_link=sha256(maker).digest(),
        class_id=class_id,
        channels=("stable",),
        least_interval_s=60,
        most_interval_s=3_600,
        least_size=1,
        least_time=NOW - 1_000,
        limits=DeviceLimits(),
    )
    subject = subjects.of_class(class_id)
    signers = world.maker.quorum(Role.ROOT)
    return world.maker.post("provisioning", subject, record.encode(), signers)


def enrol(node: Running, world: MirroredBoard) -> tuple[bytes, bytes]:
    """Post a lot of one device; its id and its leaves' upload."""
    leaf = DeviceLeaf("SN0", SIGNER.public_key, world.maker.class_id("tracker")).encode()
    root = LotTree.build([leaf]).root
    node.post(world, world.maker.lot_enrol(count=1, root=root))
    return world.maker.lot_id(count=1, root=root), cbor.encode([leaf])


@contextmanager
def fleet_of(board_url: str, trust: bytes, data: Path) -> Iterator[HttpClient]:
    with open_fleet(
        board_urls=[board_url], provisioning=trust, data=data, clock=lambda: NOW
    ) as alone:
        ready = threading.Event()
        server = Server(
            alone.app, listen=[("127.0.0.1", 0)], limits=alone.limits, on_ready=ready.set
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert ready.wait(60)
            with HttpClient(server.url, timeout_s=60) as http:
                yield http
        finally:
            server.stop()
            thread.join(timeout=60)


def test_leaves_and_reports_are_taken_against_the_proven_lot(node: Running, tmp_path: Path) -> None:
    world = with_class(node)
    lot, leaves = enrol(node, world)
    with fleet_of(node.url, provisioning(node, world), tmp_path / "fleet") as fleet:
        path = f"/v1/lots/{lot.hex()}/leaves"
        fleet.send("PUT", path, leaves, content_type="application/cbor")
        report = Report(
            board=node.board,
            device=SIGNER.public_key.thumbprint(),
            boot_count=1,
            counter=1,
            components=(ReportedComponent(0, 10, b"i" * 32),),
            outcome=Outcome.CONFIRMED,
        )
        data = sign_report(report, SIGNER)
        sent = fleet.send("POST", "/v1/reports", data, content_type="application/eat+cwt")
        assert sent.status == 204
        class_id = world.maker.class_id("tracker").hex()
        summary = fleet.send("GET", f"/v1/fleet/{class_id}").json()
        assert isinstance(summary, dict)
        assert summary["releases"] == {
            "10": {"confirmed": 1, "failed": 0, "reverted": 0, "running": 1}
        }
        with pytest.raises(NotFound, match="no such lot"):
            fleet.fetch("/v1/lots/" + "00" * 16)
        with pytest.raises(NotFound):
            fleet.fetch("/v1/board")


def test_the_answers_of_another_board_prove_nothing(tmp_path: Path) -> None:
    """The attacker has the same origin, the same maker's posts, and its own operator keys."""
    with running(tmp_path / "true", origin="board.example/1") as true:
        world = with_class(true)
        lot, _ = enrol(true, world)
        trust = provisioning(true, world)
        with running(tmp_path / "false", origin="board.example/1") as false:
            other = with_class(false)
            false_lot, _ = enrol(false, other)
            assert false_lot == lot
            file = tmp_path / "belief.cbor"
            lots = BoardLots(false.http, provisioning=trust, belief=file, clock=lambda: NOW)
            with pytest.raises(Unavailable, match="proves nothing"):
                lots.read(lot)
            assert not file.exists()
        honest = BoardLots(true.http, provisioning=trust, belief=file, clock=lambda: NOW)
        assert honest.read(lot).record.count == 1, "the control"
        assert file.exists()


def test_a_restart_does_not_forget_how_far_the_board_was(tmp_path: Path) -> None:
    with running(tmp_path / "node") as node:
        world = with_class(node)
        trust = provisioning(node, world)
        key = "/v1/proof/"
        lot, _ = enrol(node, world)
        file = tmp_path / "belief.cbor"

        class Replayed:
            """A relay that answers for a board as it was before the lot was posted."""

            def __init__(self) -> None:
                self.kept: dict[str, bytes] = {}

            def fetch(self, path: str, *, accept: str, most_bytes: int) -> bytes:
                if path not in self.kept:
                    self.kept[path] = node.http.fetch(path, accept=accept, most_bytes=most_bytes)
                return self.kept[path]

        relay = Replayed()
        lots = BoardLots(relay, provisioning=trust, belief=file, clock=lambda: NOW)
        with pytest.raises(NotFound):
            lots.read(b"\x00" * 16)
        assert all(path.startswith(key) for path in relay.kept)
        node.post(world, world.maker.class_set("other"))
        assert lots.read(lot).record.count == 1
        again = BoardLots(relay, provisioning=trust, belief=file, clock=lambda: NOW)
        with pytest.raises(Unavailable, match="not-newer"):
            again.read(b"\x00" * 16)


def test_a_provisioning_record_that_nobody_signed_is_a_setting_to_fix(
    node: Running, tmp_path: Path
) -> None:
    with pytest.raises(Misconfigured, match="provisioning"):
        BoardLots(node.http, provisioning=b"\x00", belief=tmp_path / "b", clock=lambda: NOW)


def test_a_belief_that_cannot_be_read_is_a_setting_to_fix(node: Running, tmp_path: Path) -> None:
    world = with_class(node)
    (tmp_path / "belief.cbor").write_bytes(b"torn")
    with pytest.raises(Misconfigured, match="cannot be read"):
        BoardLots(
            node.http,
            provisioning=provisioning(node, world),
            belief=tmp_path / "belief.cbor",
            clock=lambda: NOW,
        )
