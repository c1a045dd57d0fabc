# SPDX-License-Identifier: Apache-2.0
"""Reports that a fleet service must not believe: replayed, cloned, of other boards, of strangers.

Each ends with what the fleet counts; in the control the one question is not asked.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.errors import Conflict, FieldpostError, NotFound, Untrusted
from fieldpost.fleet.board import PostedLot
from fieldpost.fleet.service import FleetService
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.lot import LotTree
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, ReportedComponent, sign_report
from fieldpost.identity.status import DeviceStatus, change_statuses
from fieldpost.keys import Algorithm
from fieldpost.records.lot import LotRecord
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.signers import DeterministicSigner

BOARD = "board.test/1#" + "0" * 32
CLASS = bytes(range(16))
LOT, STOLEN = b"L" * 16, b"S" * 16
DEVICES = [DeterministicSigner(Algorithm.ED25519, f"device/{n}") for n in range(4)]
STRANGER = DeterministicSigner(Algorithm.ED25519, "stranger")
LEAVES = {
    LOT: [DeviceLeaf(f"SN{n}", d.public_key, CLASS).encode() for n, d in enumerate(DEVICES)],
    # A thief of the enrol key enrols a key that is another lot's already.
    STOLEN: [DeviceLeaf("GHOST", DEVICES[0].public_key, CLASS).encode()],
}


class Posted:
    """The two lots on the board, the genuine one first, and statuses that a test sets."""

    def __init__(self) -> None:
        self.pages: dict[tuple[bytes, int], bytes] = {}

    def read(self, lot: bytes) -> PostedLot:
        if lot not in LEAVES:
            raise NotFound("no such lot")
        leaves = LEAVES[lot]
        root = LotTree.build(leaves).root
        record = LotRecord(nonce=1, id=lot, class_id=CLASS, count=len(leaves), root=root)
        return PostedLot(record, list(LEAVES).index(lot))

    def links(self) -> list[bytes]:
        return []

    def status_page(self, lot: bytes, page: int) -> bytes | None:
        return self.pages.get((lot, page))

    def say(self, lot: bytes, index: int, status: DeviceStatus) -> None:
        self.pages[lot, 0] = change_statuses(self.pages.get((lot, 0)), [(index, status)], number=0)


@pytest.fixture
def posted() -> Posted:
    return Posted()


@pytest.fixture
def fleet(tmp_path: Path, posted: Posted) -> Iterator[FleetService]:
    service = FleetService(tmp_path / "fleet.db", board=BOARD, lots=posted, clock=lambda: 1)
    service.store_leaves(LOT, [cbor.encode(LEAVES[LOT])])
    yield service
    service.close()


def report(
    signer: DeterministicSigner = DEVICES[0], order: tuple[int, int] = (1, 1), **changes: Any
) -> bytes:
    plain = Report(
        board=BOARD,
        device=signer.public_key.thumbprint(),
        boot_count=order[0],
        counter=order[1],
        components=(ReportedComponent(0, 12, b"i" * 32),),
        outcome=Outcome.CONFIRMED,
    )
    return sign_report(replace(plain, **changes), signer)


def refusal(fleet: FleetService, data: bytes) -> str:
    """Why a report is refused; what the fleet counts stays as it was."""
    before = fleet.summary(CLASS)
    with pytest.raises(FieldpostError) as caught:
        fleet.take_report(data).result(timeout=60)
    after = fleet.summary(CLASS)
    assert {**after, "clone_suspected": 0} == {**before, "clone_suspected": 0}
    error = caught.value
    return error.reason if isinstance(error, Untrusted) else str(error).partition(":")[0]


def confirmed(fleet: FleetService, sequence: int = 12) -> int:
    releases: Any = fleet.summary(CLASS)["releases"]
    return int(releases.get(str(sequence), {}).get("confirmed", 0))


def take(fleet: FleetService, data: bytes) -> None:
    fleet.take_report(data).result(timeout=60)


def test_a_replayed_report_does_not_bring_the_past_back(fleet: FleetService) -> None:
    """A recorded success is sent again after the device had gone back."""
    success = report(order=(1, 1))
    take(fleet, success)
    take(fleet, report(order=(2, 1), outcome=Outcome.REVERTED))
    assert confirmed(fleet) == 0
    assert refusal(fleet, success) == "replayed-report"
    with without(Defence.REPORT_ORDER):
        take(fleet, success)
    assert confirmed(fleet) == 1


@pytest.mark.parametrize(
    ("order", "is_new"),
    [
        ((4, 17), False),  # the same order, another report
        ((4, 16), False),  # an older one of this boot
        ((3, 999), False),  # of an earlier boot, with a greater counter
        ((4, 18), True),
        ((5, 0), True),  # the counter starts anew at every boot
    ],
)
def test_only_a_later_report_is_new(
    fleet: FleetService, order: tuple[int, int], is_new: bool
) -> None:
    """The fleet service has seen (4, 17); genuine signatures do not make old reports new."""
    take(fleet, report(order=(4, 17), outcome=Outcome.REVERTED))
    data = report(order=order)
    if is_new:
        take(fleet, data)
    else:
        assert refusal(fleet, data) == "replayed-report"
    assert confirmed(fleet) == int(is_new)


def test_a_lost_acknowledgement_is_no_replay(fleet: FleetService) -> None:
    take(fleet, report())
    take(fleet, report())
    assert confirmed(fleet) == 1


def test_a_report_for_another_board_counts_nothing(fleet: FleetService) -> None:
    """From the staging board, where the same device was tried out."""
    staging = report(board="staging.test/1#" + "1" * 32)
    assert refusal(fleet, staging) == "wrong-board"
    with without(Defence.REPORT_BOARD):
        take(fleet, staging)
    assert confirmed(fleet) == 1


def test_an_unknown_device_counts_nothing(fleet: FleetService) -> None:
    forged = report(STRANGER)
    assert refusal(fleet, forged) == "unknown-device"
    with without(Defence.MEMBERSHIP, Defence.REPORT_SIGNATURE):
        take(fleet, forged)
    assert confirmed(fleet) == 1


@pytest.mark.parametrize("status", [DeviceStatus.REVOKED, DeviceStatus.DECOMMISSIONED])
def test_a_revoked_device_counts_nothing_any_more(
    fleet: FleetService, posted: Posted, status: DeviceStatus
) -> None:
    posted.say(LOT, 0, status)
    assert refusal(fleet, report()) == f"{status.name.lower()}-device"
    take(fleet, report(DEVICES[1]))
    assert confirmed(fleet) == 1
    with without(Defence.DEVICE_STATUS):
        take(fleet, report())
    assert confirmed(fleet) == 2


def test_a_key_revoked_anywhere_is_revoked_everywhere(fleet: FleetService, posted: Posted) -> None:
    """Enrolled a second time, in a thief's lot, a revoked key is not a new one."""
    fleet.store_leaves(STOLEN, [cbor.encode(LEAVES[STOLEN])])
    posted.say(LOT, 0, DeviceStatus.REVOKED)
    assert refusal(fleet, report()) == "revoked-device"


def test_the_first_lot_of_a_key_keeps_it(fleet: FleetService) -> None:
    """A stolen enrol key cannot pull a device into a lot of its own."""
    fleet.store_leaves(STOLEN, [cbor.encode(LEAVES[STOLEN])])
    view = fleet.device_view(DEVICES[0].public_key.thumbprint())
    assert (view["lot"], view["index"]) == (LOT.hex(), 0)


def test_a_cloned_identity_is_noticed(fleet: FleetService) -> None:
    """Two devices with one key tell two stories; one of them is refused, and somebody looks."""
    take(fleet, report(order=(5, 9), head=(40, b"r" * 32, 100)))
    take(fleet, report(order=(6, 1), head=(50, b"s" * 32, 200)))
    clone = report(order=(5, 10), head=(60, b"t" * 32, 300))
    assert refusal(fleet, clone) == "replayed-report"
    view = fleet.device_view(DEVICES[0].public_key.thumbprint())
    assert "knows a later log" in str(view["clone_suspected"])
    assert fleet.summary(CLASS)["clone_suspected"] == 1


def test_a_clone_that_tells_another_story_of_the_same_moment_is_noticed(
    fleet: FleetService,
) -> None:
    take(fleet, report(order=(5, 9)))
    other = report(order=(5, 9), outcome=Outcome.FAILED)
    with pytest.raises(Conflict):
        take(fleet, other)
    view = fleet.device_view(DEVICES[0].public_key.thumbprint())
    assert "two different reports" in str(view["clone_suspected"])


def test_nobody_without_the_key_makes_a_device_look_cloned(fleet: FleetService) -> None:
    """A relay that holds reports back, repeats and reorders them raises no suspicion."""
    reports = [report(order=(1, n), outcome=Outcome.CHECKED_IN) for n in range(1, 8)]
    for data in (reports[4], reports[1], reports[6], reports[6], reports[0]):
        with suppress(Conflict):
            take(fleet, data)
    assert fleet.summary(CLASS)["clone_suspected"] == 0


def test_leaves_of_other_devices_are_not_taken_for_a_posted_lot(fleet: FleetService) -> None:
    ghosts = [DeviceLeaf("G", STRANGER.public_key, CLASS).encode()] * 4
    with pytest.raises(Untrusted, match="wrong-root"):
        fleet.store_leaves(LOT, [cbor.encode(ghosts)])
    assert refusal(fleet, report(STRANGER)) == "unknown-device"
