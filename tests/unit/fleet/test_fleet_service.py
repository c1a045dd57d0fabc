# SPDX-License-Identifier: Apache-2.0
"""What the fleet believes: reports of devices in posted lots, each once, in order, durably."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fieldpost import cbor
from fieldpost.errors import Conflict, Malformed, NotFound, Unavailable, Untrusted
from fieldpost.fleet.board import PostedLot
from fieldpost.fleet.service import FleetService
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.lot import LotTree, verify_membership
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, ReportedComponent, sign_report
from fieldpost.identity.status import DeviceStatus, change_statuses
from fieldpost.keys import Algorithm
from fieldpost.records.lot import LotRecord
from fieldpost.testing.signers import DeterministicSigner

BOARD = "board.example/1#" + "0" * 32
CLASS = bytes(range(16))
LOT = b"L" * 16
NOW = 1_800_000_000
SIGNERS = [
    DeterministicSigner(Algorithm.ESP256 if n % 2 else Algorithm.ED25519, f"device/{n}")
    for n in range(5)
]
LEAVES = [
    DeviceLeaf(f"SN{n}", signer.public_key, CLASS).encode() for n, signer in enumerate(SIGNERS)
]
ROOT = LotTree.build(LEAVES).root
POSTED = {LOT: LotRecord(nonce=1, id=LOT, class_id=CLASS, count=5, root=ROOT)}


class Posted:
    """A board with the lots of `POSTED`, as entries 0, 1, …, and statuses that tests set."""

    def __init__(self) -> None:
        self.pages: dict[tuple[bytes, int], bytes] = {}

    def read(self, lot: bytes) -> PostedLot:
        if lot not in POSTED:
            raise NotFound("no such lot")
        return PostedLot(POSTED[lot], list(POSTED).index(lot))

    def links(self) -> list[bytes]:
        return []

    def status_page(self, lot: bytes, page: int) -> bytes | None:
        return self.pages.get((lot, page))

    def say(self, lot: bytes, index: int, status: DeviceStatus) -> None:
        page = self.pages.get((lot, 0))
        self.pages[lot, 0] = change_statuses(page, [(index, status)], number=0)


def open_fleet(folder: Path, posted: Posted | None = None) -> FleetService:
    lots = posted or Posted()
    return FleetService(folder / "fleet.db", board=BOARD, lots=lots, clock=lambda: NOW)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[FleetService]:
    service = open_fleet(tmp_path)
    service.store_leaves(LOT, [cbor.encode(LEAVES)])
    yield service
    service.close()


def report(number: int, *, order: tuple[int, int] = (1, 1), **changes: object) -> bytes:
    signer = SIGNERS[number]
    plain = Report(
        board=BOARD,
        device=signer.public_key.thumbprint(),
        boot_count=order[0],
        counter=order[1],
        components=(ReportedComponent(0, 7, b"i" * 32),),
        outcome=Outcome.CONFIRMED,
    )
    return sign_report(replace(plain, **changes), signer)  # type: ignore[arg-type]


def take(fleet: FleetService, data: bytes) -> None:
    fleet.take_report(data).result(timeout=60)


def test_a_confirmed_update_is_counted_for_its_release(fleet: FleetService) -> None:
    take(fleet, report(0))
    take(fleet, report(1, outcome=Outcome.REVERTED))
    take(fleet, report(2, outcome=Outcome.FAILED))
    take(fleet, report(3, outcome=Outcome.STALE))
    assert fleet.summary(CLASS) == {
        "class": CLASS.hex(),
        "devices": 5,
        "releases": {"7": {"confirmed": 1, "failed": 1, "reverted": 1, "running": 2}},
        "stale": 1,
        "clone_suspected": 0,
        "never_seen": 1,
    }


def test_a_device_counts_once_for_a_release_with_its_newest_word(fleet: FleetService) -> None:
    take(fleet, report(0, order=(1, 1), outcome=Outcome.REVERTED))
    take(fleet, report(0, order=(2, 1), outcome=Outcome.CONFIRMED))
    releases = fleet.summary(CLASS)["releases"]
    assert releases == {"7": {"confirmed": 1, "failed": 0, "reverted": 0, "running": 1}}


def test_a_check_in_ends_no_release_and_says_what_runs(fleet: FleetService) -> None:
    take(fleet, report(0, outcome=Outcome.CHECKED_IN))
    summary = fleet.summary(CLASS)
    row = {"confirmed": 0, "failed": 0, "reverted": 0, "running": 1}
    assert (summary["releases"], summary["never_seen"]) == ({"7": row}, 4)


@pytest.mark.parametrize("outcome", [Outcome.REVERTED, Outcome.FAILED])
def test_a_device_that_went_back_runs_what_it_says_next(
    fleet: FleetService, outcome: Outcome
) -> None:
    before = (ReportedComponent(0, 6, b"h" * 32),)
    take(fleet, report(0, order=(1, 1), outcome=outcome))
    assert fleet.summary(CLASS)["releases"] == {
        "7": {"confirmed": 0, "failed": 0, "reverted": 0, "running": 0} | {str(outcome): 1}
    }
    take(fleet, report(0, order=(1, 2), outcome=Outcome.CHECKED_IN, components=before))
    assert fleet.summary(CLASS)["releases"] == {
        "6": {"confirmed": 0, "failed": 0, "reverted": 0, "running": 1},
        "7": {"confirmed": 0, "failed": 0, "reverted": 0, "running": 0} | {str(outcome): 1},
    }


@pytest.mark.parametrize("order", [(3, 5), (3, 4), (2, 9)])
def test_a_replayed_report_is_refused_and_changes_nothing(
    fleet: FleetService, order: tuple[int, int]
) -> None:
    take(fleet, report(0, order=(3, 5)))
    replayed = report(0, order=order, outcome=Outcome.FAILED)
    with pytest.raises(Conflict, match="replayed") as refused:
        take(fleet, replayed)
    assert refused.value.current == "boot 3, counter 5"
    assert fleet.summary(CLASS)["releases"] == {
        "7": {"confirmed": 1, "failed": 0, "reverted": 0, "running": 1}
    }


@pytest.mark.parametrize("order", [(3, 6), (4, 0)])
def test_a_later_report_is_taken(fleet: FleetService, order: tuple[int, int]) -> None:
    """The control of the test above."""
    take(fleet, report(0, order=(3, 5)))
    take(fleet, report(0, order=order, outcome=Outcome.FAILED))
    assert fleet.summary(CLASS)["releases"] == {
        "7": {"confirmed": 0, "failed": 1, "reverted": 0, "running": 0}
    }


def test_the_same_bytes_again_are_the_same_report(fleet: FleetService) -> None:
    """The first acknowledgement may have been lost on its way."""
    data = report(0)
    take(fleet, data)
    take(fleet, data)
    assert fleet.summary(CLASS)["never_seen"] == 4


def test_a_device_in_no_lot_is_not_believed(fleet: FleetService) -> None:
    stranger = DeterministicSigner(Algorithm.ED25519, "stranger")
    plain = Report(
        board=BOARD,
        device=stranger.public_key.thumbprint(),
        boot_count=1,
        counter=1,
        components=(ReportedComponent(0, 7, b"i" * 32),),
        outcome=Outcome.CONFIRMED,
    )
    with pytest.raises(Untrusted, match="unknown-device"):
        take(fleet, sign_report(plain, stranger))
    assert fleet.summary(CLASS)["never_seen"] == 5


def test_a_report_for_another_board_is_not_believed(fleet: FleetService) -> None:
    with pytest.raises(Untrusted, match="wrong-board"):
        take(fleet, report(0, board="board.example/1#" + "1" * 32))
    assert fleet.summary(CLASS)["never_seen"] == 5


def test_a_report_with_a_forged_signature_is_not_believed(fleet: FleetService) -> None:
    data = report(0)
    forged = data[:-1] + bytes((data[-1] ^ 1,))
    with pytest.raises(Untrusted):
        take(fleet, forged)
    assert fleet.summary(CLASS)["never_seen"] == 5


def test_bytes_that_are_no_report_are_malformed(fleet: FleetService) -> None:
    with pytest.raises(Malformed):
        fleet.take_report(b"\x00")


def test_a_bad_report_does_not_spoil_the_good_ones_beside_it(fleet: FleetService) -> None:
    """They share a transaction, not a fate."""
    good, bad = report(0), report(1, board="board.example/1#" + "1" * 32)
    futures = [fleet.take_report(data) for data in (good, bad, report(2))]
    assert futures[0].result(timeout=60) is None
    assert futures[2].result(timeout=60) is None
    assert isinstance(futures[1].exception(timeout=60), Untrusted)
    assert fleet.summary(CLASS)["never_seen"] == 3


def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    first = open_fleet(tmp_path)
    first.store_leaves(LOT, [cbor.encode(LEAVES)])
    take(first, report(0, order=(2, 2)))
    first.close()
    second = open_fleet(tmp_path)
    assert second.summary(CLASS)["releases"] == {
        "7": {"confirmed": 1, "failed": 0, "reverted": 0, "running": 1}
    }
    with pytest.raises(Conflict):
        take(second, report(0, order=(2, 1)))
    second.close()


def test_a_stopping_service_takes_nothing_more(tmp_path: Path) -> None:
    fleet = open_fleet(tmp_path)
    fleet.close()
    with pytest.raises(Unavailable):
        fleet.take_report(report(0))


@pytest.mark.parametrize("number", range(5))
def test_a_device_finds_the_proof_that_it_is_in_its_lot(fleet: FleetService, number: int) -> None:
    device = SIGNERS[number].public_key.thumbprint()
    match cbor.decode(fleet.device_proof(device)):
        case (bytes(lot), int(index), int(count), bytes(leaf), tuple(path)):
            hashes = tuple(item for item in path if isinstance(item, bytes))
            shown = verify_membership(leaf=leaf, index=index, count=count, root=ROOT, path=hashes)
            assert (lot, index, shown.device) == (LOT, number, device)
        case other:
            raise AssertionError(other)


def test_a_device_in_no_lot_finds_nothing(fleet: FleetService) -> None:
    with pytest.raises(NotFound):
        fleet.device_proof(b"x" * 32)


OTHER = DeviceLeaf("SN9", SIGNERS[0].public_key, CLASS).encode()
ELSEWHERE = DeviceLeaf("SN0", SIGNERS[0].public_key, b"?" * 16).encode()
BAD_LEAVES: dict[str, tuple[object, type[Exception]]] = {
    "another leaf": ([OTHER, *LEAVES[1:]], Untrusted),
    "another order": (LEAVES[::-1], Untrusted),
    "one too few": (LEAVES[1:], Malformed),
    "one too many": ([*LEAVES, OTHER], Malformed),
    "no byte strings": ([1, 2, 3, 4, 5], Malformed),
    "no array": ({1: 2}, Malformed),
}


@pytest.mark.parametrize("what", BAD_LEAVES)
def test_leaves_that_do_not_make_the_posted_root_are_not_stored(what: str, tmp_path: Path) -> None:
    value, family = BAD_LEAVES[what]
    fleet = open_fleet(tmp_path)
    with pytest.raises(family):
        fleet.store_leaves(LOT, [cbor.encode(value)])
    assert not fleet.has_leaves(LOT)
    fleet.close()


def test_a_leaf_of_another_class_than_its_lot_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A maker may post any root, so the root alone does not say that the leaves are in order."""
    leaves = [ELSEWHERE, *LEAVES[1:]]
    lot = LotRecord(nonce=2, id=b"M" * 16, class_id=CLASS, count=5, root=LotTree.build(leaves).root)
    monkeypatch.setitem(POSTED, lot.id, lot)
    fleet = open_fleet(tmp_path)
    with pytest.raises(Untrusted, match="wrong-class"):
        fleet.store_leaves(lot.id, [cbor.encode(leaves)])
    assert not fleet.has_leaves(lot.id)
    fleet.close()


def test_leaves_of_a_lot_that_is_not_on_the_board_are_refused(tmp_path: Path) -> None:
    fleet = open_fleet(tmp_path)
    with pytest.raises(NotFound):
        fleet.store_leaves(b"N" * 16, [cbor.encode(LEAVES)])
    fleet.close()
