# SPDX-License-Identifier: Apache-2.0
"""A fleet's periods: one root for ever over kept reports, each of which can be shown."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fieldpost import cbor
from fieldpost.errors import Conflict, Malformed, Misconfigured, Untrusted
from fieldpost.fleet import database
from fieldpost.fleet.audit import wrong_fleet
from fieldpost.fleet.ends import MOST_ENDS_OF_DEVICE, End, Period
from fieldpost.fleet.service import FleetService
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import ReportedComponent
from fieldpost.store.sqlite_copy import copy_database
from fieldpost.tlog.hashing import EMPTY_ROOT, leaf_hash
from fieldpost.tlog.proof import verify_inclusion
from fieldpost.tlog.tree import MemoryTree
from tests.unit.fleet.test_fleet_service import (
    BOARD,
    CLASS,
    LEAVES,
    LOT,
    NOW,
    SIGNERS,
    Posted,
    report,
    take,
)


class Clock:
    """Unix seconds that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fleet(tmp_path: Path, clock: Clock) -> Iterator[FleetService]:
    service = FleetService(tmp_path / "fleet.db", board=BOARD, lots=Posted(), clock=clock)
    service.store_leaves(LOT, [cbor.encode(LEAVES)])
    yield service
    service.close()


def device(number: int) -> bytes:
    return SIGNERS[number].public_key.thumbprint()


def of(sequence: int) -> tuple[ReportedComponent, ...]:
    return (ReportedComponent(0, sequence, b"i" * 32),)


def test_the_root_is_that_of_the_signed_reports_in_order_of_arrival(
    fleet: FleetService, clock: Clock
) -> None:
    kept = [report(2), report(0, outcome=Outcome.FAILED), report(1, components=of(8))]
    for data in kept:
        take(fleet, data)
        clock.now += 10
    assert fleet.period_view(CLASS, None, None) == {
        "class": CLASS.hex(),
        "from": NOW,
        "to": NOW + 30,
        "reports": 3,
        "root": MemoryTree(map(leaf_hash, kept)).root().hex(),
        "outcomes": {"7": [1, 1, 0], "8": [1, 0, 0]},
    }


def test_a_period_that_is_over_has_one_root_for_ever(fleet: FleetService, clock: Clock) -> None:
    take(fleet, report(0))
    clock.now = NOW + 10
    before = fleet.period_view(CLASS, NOW, NOW + 10)
    take(fleet, report(1))
    take(fleet, report(0, order=(2, 1), outcome=Outcome.REVERTED))
    clock.now = NOW + 20
    assert fleet.period_view(CLASS, NOW, NOW + 10) == before
    later = fleet.period_view(CLASS, NOW + 10, NOW + 20)
    assert (later["reports"], later["outcomes"]) == (2, {"7": [1, 0, 1]})


def test_only_the_first_report_of_an_end_is_kept(fleet: FleetService, clock: Clock) -> None:
    take(fleet, report(0))
    take(fleet, report(0, order=(2, 1), outcome=Outcome.CHECKED_IN))
    take(fleet, report(0, order=(3, 1)))
    clock.now += 1
    view = fleet.period_view(CLASS, None, None)
    root = MemoryTree([leaf_hash(report(0))]).root().hex()
    assert (view["reports"], view["root"]) == (1, root)


def test_every_kept_report_can_be_shown_under_the_root(fleet: FleetService, clock: Clock) -> None:
    for number in range(5):
        take(fleet, report(number))
    take(fleet, report(3, order=(2, 1), outcome=Outcome.REVERTED))
    clock.now += 1
    period = Period.of(
        End(device=device(n), sequence=7, outcome="confirmed", report=report(n)) for n in range(5)
    )
    view = fleet.period_proofs(CLASS, device(3), None, None)
    assert isinstance(view["shown"], list)
    first, second = view["shown"]
    assert (first["index"], second["index"]) == (3, 5)
    assert bytes.fromhex(first["report"]) == period.ends[3].report
    for shown in (first, second):
        proof = {
            "index": shown["index"],
            "size": 6,
            "root": bytes.fromhex(str(view["root"])),
            "path": [bytes.fromhex(step) for step in shown["path"]],
        }
        verify_inclusion(leaf_hash=leaf_hash(bytes.fromhex(shown["report"])), **proof)
        with pytest.raises(Untrusted):
            verify_inclusion(leaf_hash=leaf_hash(report(4)), **proof)


def test_a_period_must_be_over_and_begin_before_it_ends(fleet: FleetService) -> None:
    with pytest.raises(Conflict, match="may still come"):
        fleet.period_view(CLASS, 0, NOW + 1)
    for start, end in ((NOW, NOW), (5, 4), (-1, 4)):
        with pytest.raises(Malformed, match="begins before"):
            fleet.period_view(CLASS, start, end)


def test_what_comes_in_the_second_of_the_end_is_of_the_next_period(
    fleet: FleetService, clock: Clock
) -> None:
    take(fleet, report(0))
    empty = fleet.period_view(CLASS, NOW - 5, NOW)
    assert (empty["reports"], empty["root"]) == (0, EMPTY_ROOT.hex())
    clock.now += 1
    assert fleet.period_view(CLASS, NOW, NOW + 1)["reports"] == 1


def test_a_stolen_device_key_cannot_fill_the_disk(fleet: FleetService, clock: Clock) -> None:
    futures = [
        fleet.take_report(report(0, order=(1, n), components=of(n)))
        for n in range(1, MOST_ENDS_OF_DEVICE + 20)
    ]
    for future in futures:
        future.result(timeout=60)
    take(fleet, report(1))
    clock.now += 1
    assert fleet.period_view(CLASS, None, None)["reports"] == MOST_ENDS_OF_DEVICE + 1


def test_long_lists_are_read_in_pieces(
    fleet: FleetService, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_ENDS_AT_ONCE", 2)
    kept = [report(n) for n in range(5)]
    for data in kept:
        take(fleet, data)
    clock.now += 1
    view = fleet.period_view(CLASS, None, None)
    assert view["root"] == MemoryTree(map(leaf_hash, kept)).root().hex()


def test_a_period_of_more_than_can_be_counted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldpost.fleet.ends.MOST_REPORTS", 2)
    end = End(device=device(0), sequence=7, outcome="confirmed", report=b"")
    assert len(Period.of([end] * 2).ends) == 2
    with pytest.raises(Malformed, match="shorter period"):
        Period.of([end] * 3)


def test_a_kept_report_that_its_device_did_not_sign_is_found(
    fleet: FleetService, tmp_path: Path
) -> None:
    take(fleet, report(0))
    take(fleet, report(1))
    path, posted = tmp_path / "fleet.db", Posted().read(LOT)

    def wrong() -> list[str]:
        return list(wrong_fleet(path, {posted.entry: posted.record}.get, BOARD))

    assert wrong() == []
    db = sqlite3.connect(path)
    db.execute("UPDATE ends SET report = ? WHERE number = 1", (report(1),))
    db.commit()
    db.close()
    assert [line for line in wrong() if "kept report 1 " in line]


@pytest.mark.parametrize(
    ("column", "value", "is_found"),
    [("size", 41, True), ("size", None, False), ("counter", 2, True), ("outcome", "failed", True)],
)
def test_a_row_that_says_another_thing_than_its_newest_report_is_found(
    fleet: FleetService, tmp_path: Path, column: str, value: object, is_found: bool
) -> None:
    """Older programs wrote down no size of the head, which is nothing wrong."""
    take(fleet, report(0, head=(40, bytes(32), 1_800_000_000)))
    path, posted = tmp_path / "fleet.db", Posted().read(LOT)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE seen SET {column} = ?", (value,))  # noqa: S608 - names of our own
    found = list(wrong_fleet(path, {posted.entry: posted.record}.get, BOARD))
    assert bool(found) is is_found


def test_a_file_of_another_version_is_judged_as_the_next_start_would_have_it(
    fleet: FleetService, tmp_path: Path
) -> None:
    """Whoever runs `board fsck` between install and restart is not told to put a backup back."""
    take(fleet, report(0))
    path, posted = tmp_path / "fleet.db", Posted().read(LOT)
    older, newer = tmp_path / "older.db", tmp_path / "newer.db"
    copy_database(path, older)
    copy_database(path, newer)
    with closing(sqlite3.connect(older, isolation_level=None)) as db:
        db.executescript("ALTER TABLE seen DROP COLUMN size; PRAGMA user_version = 5")
    with closing(sqlite3.connect(newer, isolation_level=None)) as db:
        db.execute("PRAGMA user_version = 99")
    lots = {posted.entry: posted.record}.get
    assert list(wrong_fleet(older, lots, BOARD)) == []
    with pytest.raises(Misconfigured, match="is of version 99, this program knows"):
        list(wrong_fleet(newer, lots, BOARD))
