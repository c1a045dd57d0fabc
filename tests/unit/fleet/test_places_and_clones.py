# SPDX-License-Identifier: Apache-2.0
"""Where a device stands, what the board says of it, and whether its key is in two places."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fieldpost import cbor
from fieldpost.errors import Conflict, Untrusted
from fieldpost.fleet.clones import MOST_BOOTS, MOST_REPORTS_PER_BOOT
from fieldpost.fleet.service import FleetService
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.lot import LotTree
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.status import DeviceStatus
from fieldpost.records.lot import LotRecord
from tests.unit.fleet.test_fleet_service import (
    CLASS,
    LEAVES,
    LOT,
    POSTED,
    SIGNERS,
    Posted,
    open_fleet,
    report,
    take,
)

OTHER_CLASS = b"C" * 16
ROOT = b"r" * 32


@pytest.fixture
def posted() -> Posted:
    return Posted()


@pytest.fixture
def fleet(tmp_path: Path, posted: Posted) -> Iterator[FleetService]:
    service = open_fleet(tmp_path, posted)
    yield service
    service.close()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, list[bytes]]:
    """A lot posted after `LOT`, of another class: device 0 again, and twice; device 1 not."""
    leaves = [
        DeviceLeaf("again", SIGNERS[0].public_key, OTHER_CLASS).encode(),
        DeviceLeaf("twice", SIGNERS[0].public_key, OTHER_CLASS).encode(),
    ]
    root = LotTree.build(leaves).root
    lot = LotRecord(nonce=2, id=b"M" * 16, class_id=OTHER_CLASS, count=2, root=root)
    monkeypatch.setitem(POSTED, lot.id, lot)
    return lot.id, leaves


def store(fleet: FleetService, lot: bytes, leaves: list[bytes]) -> None:
    fleet.store_leaves(lot, [cbor.encode(leaves)])


def device(number: int) -> bytes:
    return SIGNERS[number].public_key.thumbprint()


@pytest.mark.parametrize("first_comes", ["first", "last"])
def test_the_first_lot_of_a_key_wins_in_log_order(
    fleet: FleetService, later: tuple[bytes, list[bytes]], first_comes: str
) -> None:
    """Whoever steals an enrol key cannot take devices over, by posting them or by being quick."""
    uploads = [(LOT, LEAVES), later]
    for lot, leaves in uploads if first_comes == "first" else uploads[::-1]:
        store(fleet, lot, leaves)
    view = fleet.device_view(device(0))
    assert (view["lot"], view["index"], view["class"]) == (LOT.hex(), 0, CLASS.hex())
    assert [fleet.summary(c)["devices"] for c in (CLASS, OTHER_CLASS)] == [5, 0]
    match cbor.decode(fleet.device_proof(device(0))):
        case (bytes(lot), 0, 5, *_):
            assert lot == LOT
        case other:
            raise AssertionError(other)


def test_reports_go_with_the_device_to_its_first_lot(
    fleet: FleetService, later: tuple[bytes, list[bytes]]
) -> None:
    store(fleet, *later)
    take(fleet, report(0))
    assert fleet.summary(OTHER_CLASS)["devices"] == 1
    store(fleet, LOT, LEAVES)
    row = {"confirmed": 1, "failed": 0, "reverted": 0, "running": 1}
    assert fleet.summary(CLASS)["releases"] == {"7": row}
    assert fleet.summary(CLASS)["never_seen"] == 4
    assert fleet.summary(OTHER_CLASS)["releases"] == {}
    with pytest.raises(Conflict):
        take(fleet, report(0, outcome=Outcome.FAILED))


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (DeviceStatus.REVOKED, "revoked-device"),
        (DeviceStatus.DECOMMISSIONED, "decommissioned-device"),
    ],
)
def test_reports_of_a_device_that_is_out_are_refused(
    fleet: FleetService, posted: Posted, status: DeviceStatus, reason: str
) -> None:
    store(fleet, LOT, LEAVES)
    posted.say(LOT, 1, status)
    take(fleet, report(0))
    with pytest.raises(Untrusted, match=reason):
        take(fleet, report(1))
    assert fleet.device_view(device(1))["status"] == status.name.lower()
    assert fleet.summary(CLASS)["never_seen"] == 4


def test_a_suspended_device_is_shown_and_heard(fleet: FleetService, posted: Posted) -> None:
    store(fleet, LOT, LEAVES)
    posted.say(LOT, 1, DeviceStatus.SUSPENDED)
    take(fleet, report(1))
    view = fleet.device_view(device(1))
    assert view["status"] == "suspended"
    assert view["newest_report"] is not None
    assert fleet.device_view(device(2))["status"] == "valid"


def test_a_status_counts_for_the_key_wherever_it_appears(
    fleet: FleetService, posted: Posted, later: tuple[bytes, list[bytes]]
) -> None:
    store(fleet, LOT, LEAVES)
    store(fleet, *later)
    posted.say(later[0], 1, DeviceStatus.REVOKED)
    posted.say(LOT, 0, DeviceStatus.SUSPENDED)
    assert fleet.device_view(device(0))["status"] == "revoked"
    with pytest.raises(Untrusted, match="revoked-device"):
        take(fleet, report(0))


def head(size: int) -> tuple[int, bytes, int]:
    return size, ROOT, 1_800_000_000


BEFORE = [((5, 1), 100), ((5, 2), 100), ((6, 1), 110)]
SIGNS = {
    "the same place, another report": ((5, 2), 100, Outcome.FAILED),
    "an earlier boot that knows a later log": ((5, 3), 120, Outcome.CHECKED_IN),
    "a log that shrank": ((6, 2), 109, Outcome.CHECKED_IN),
    "a leap of boots": ((7 + MOST_BOOTS, 1), 110, Outcome.CHECKED_IN),
    "a leap in one boot": ((6, 2 + MOST_REPORTS_PER_BOOT), 110, Outcome.CHECKED_IN),
}
NO_SIGNS = {
    "the newest one again": ((6, 1), 110, Outcome.CHECKED_IN),
    "an old one, held back and sent later": ((5, 3), 105, Outcome.CHECKED_IN),
    "an old one, sent again": ((5, 1), 100, Outcome.CHECKED_IN),
    "the next one": ((6, 2), 110, Outcome.CHECKED_IN),
    "the next boot": ((7, 1), 130, Outcome.CONFIRMED),
}


def taken(fleet: FleetService, order: tuple[int, int], size: int, outcome: Outcome) -> bool:
    try:
        take(fleet, report(0, order=order, head=head(size), outcome=outcome))
    except Conflict:
        return False
    return True


@pytest.mark.parametrize("what", [*SIGNS, *NO_SIGNS])
def test_what_no_single_device_signs_marks_a_clone_and_changes_nothing_else(
    fleet: FleetService, what: str
) -> None:
    """What a relay can do without the key, hold back and send again, is never a sign."""
    store(fleet, LOT, LEAVES)
    for order, size in BEFORE:
        assert taken(fleet, order, size, Outcome.CHECKED_IN)
    order, size, outcome = (SIGNS | NO_SIGNS)[what]
    counts = taken(fleet, order, size, outcome)
    assert counts is (order >= (6, 1))
    marked = what in SIGNS
    assert fleet.summary(CLASS)["clone_suspected"] == int(marked)
    assert (fleet.device_view(device(0))["clone_suspected"] is not None) is marked
    assert taken(fleet, (order[0] + 1 if counts else 6, 9), 200, Outcome.CONFIRMED)
    assert fleet.summary(CLASS)["clone_suspected"] == int(marked), "a mark stays"


def test_a_forged_report_marks_nobody(fleet: FleetService) -> None:
    store(fleet, LOT, LEAVES)
    take(fleet, report(0, order=(5, 1)))
    good = report(0, order=(5, 1), outcome=Outcome.FAILED)
    with pytest.raises(Untrusted):
        take(fleet, good[:-1] + bytes([good[-1] ^ 1]))
    assert fleet.summary(CLASS)["clone_suspected"] == 0


@pytest.mark.parametrize("size", [100, None])
def test_a_newest_report_that_an_older_program_kept_is_compared_as_any_other(
    tmp_path: Path, size: int | None
) -> None:
    """Such a row does not say how large a log its report names, or that it names none."""
    fleet = open_fleet(tmp_path)
    store(fleet, LOT, LEAVES)
    take(fleet, report(0, order=(5, 1), head=None if size is None else head(size)))
    with closing(sqlite3.connect(tmp_path / "fleet.db")) as db, db:
        db.execute("UPDATE seen SET size = NULL")
    take(fleet, report(0, order=(5, 1), head=None if size is None else head(size)))
    take(fleet, report(0, order=(5, 2), head=head(99)))
    marked = fleet.summary(CLASS)["clone_suspected"]
    fleet.close()
    assert marked == (0 if size is None else 1)
