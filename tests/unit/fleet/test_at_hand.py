# SPDX-License-Identifier: Apache-2.0
"""Reports that are judged in one batch leave what they leave one by one."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from fieldpost import cbor
from fieldpost.errors import Conflict, Unavailable
from fieldpost.fleet import devices
from fieldpost.fleet.database import FleetDb
from fieldpost.fleet.ends import End
from fieldpost.fleet.service import FleetService
from fieldpost.identity.outcome import Outcome
from fieldpost.testing import defences
from fieldpost.tlog.cosignature import Cosignature
from tests.unit.fleet.test_fleet_service import CLASS, LEAVES, LOT, SIGNERS, open_fleet, report

WAIT_S = 60
TABLES = ("seen", "results", "ends", "heads", "clones")
HEAD = (40, b"r" * 32, 1_800_000_000)
SIGNED = (Cosignature(b"key1", 1_800_000_000, bytes(64)),)

# One device says much, others a little: replays, the same again, two stories of one moment, ends
# that are told twice, heads without and with cosignatures.
REPORTS = [
    report(0, order=(1, 1), head=HEAD),
    report(1, order=(1, 1), head=HEAD, cosignatures=SIGNED),
    report(0, order=(1, 2), outcome=Outcome.CHECKED_IN),
    report(0, order=(1, 1), head=HEAD),
    report(2, order=(3, 1), outcome=Outcome.REVERTED, head=HEAD),
    report(0, order=(2, 1), outcome=Outcome.FAILED),
    report(0, order=(2, 1), outcome=Outcome.CONFIRMED),
    report(0, order=(2, 2), outcome=Outcome.FAILED),
    report(0, order=(2, 2), outcome=Outcome.FAILED),
    report(3, order=(1, 1), outcome=Outcome.STALE),
    report(2, order=(4, 1)),
]


def start(folder: Path) -> FleetService:
    folder.mkdir()
    fleet = open_fleet(folder)
    fleet.store_leaves(LOT, [cbor.encode(LEAVES)])
    return fleet


def take_together(fleet: FleetService, reports: Sequence[bytes]) -> list[BaseException | None]:
    """What became of reports that waited while the writing thread was held up."""
    began, go_on = Event(), Event()

    def hold() -> None:
        began.set()
        assert go_on.wait(WAIT_S)

    held = fleet._writer.submit(hold)
    assert began.wait(WAIT_S)
    taken = [fleet.take_report(data) for data in reports]
    go_on.set()
    held.result(WAIT_S)
    return [done.exception(WAIT_S) for done in taken]


def rows(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(folder / "fleet.db")) as database:
        return {
            name: sorted(database.execute(f"SELECT * FROM {name}"))  # noqa: S608 - names of our own
            for name in TABLES
        }


def test_a_batch_leaves_what_its_reports_leave_one_by_one(tmp_path: Path) -> None:
    together, alone = start(tmp_path / "together"), start(tmp_path / "alone")
    outcomes = take_together(together, REPORTS)
    one_by_one = [alone.take_report(data).exception(WAIT_S) for data in REPORTS]
    together.close()
    alone.close()
    assert list(map(str, outcomes)) == list(map(str, one_by_one))
    left = rows(tmp_path / "together")
    assert left == rows(tmp_path / "alone")
    assert all(left.values()), "every table is in the comparison"


def test_a_replay_in_the_batch_of_the_newer_report_is_refused(tmp_path: Path) -> None:
    fleet = start(tmp_path / "fleet")
    outcomes = take_together(fleet, [report(0, order=(2, 1)), report(0, order=(1, 9))])
    view = fleet.device_view(SIGNERS[0].public_key.thumbprint())
    fleet.close()
    assert outcomes[0] is None
    assert isinstance(outcomes[1], Conflict)
    assert view["newest_report"] is not None
    assert view["newest_report"]["boot"] == 2  # type: ignore[index]


def test_control_where_newest_reports_are_not_looked_at_the_replay_is_taken(
    tmp_path: Path,
) -> None:
    fleet = start(tmp_path / "fleet")
    with defences.without(defences.Defence.REPORT_ORDER):
        outcomes = take_together(fleet, [report(0, order=(2, 1)), report(0, order=(1, 9))])
    fleet.close()
    assert outcomes == [None, None]


def test_a_lot_that_comes_between_two_reports_counts_for_the_second(tmp_path: Path) -> None:
    """It writes what was said before it, and what is asked after it is read again."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    database = FleetDb(folder / "fleet.db")
    device = SIGNERS[0].public_key.thumbprint()
    with database.transaction():
        assert database.at_hand.place(device) is None
        database.save_lot(
            lot=LOT, class_id=bytes(16), root=bytes(32), entry=0, devices=[device], leaves=LEAVES
        )
        place = database.at_hand.place(device)
    database.close()
    assert place == devices.Place(lot=LOT, index=0, leaf=LEAVES[0])


def test_what_a_failed_batch_said_is_forgotten(tmp_path: Path) -> None:
    """A transaction that did not come to its end leaves nothing for the next one to write."""
    start(tmp_path / "fleet").close()
    database = FleetDb(tmp_path / "fleet" / "fleet.db")
    device = SIGNERS[0].public_key.thumbprint()
    result = {"class_id": bytes(16), "sequence": 1, "device": device, "outcome": "failed"}

    def fail() -> None:
        with database.transaction():
            database.at_hand.save_result(**result)  # type: ignore[arg-type]
            raise sqlite3.OperationalError("the disk is full")

    with pytest.raises(Unavailable):
        fail()
    with database.transaction():
        pass
    database.close()
    assert rows(tmp_path / "fleet")["results"] == []


def test_an_end_that_is_told_again_writes_nothing_and_another_one_does(tmp_path: Path) -> None:
    start(tmp_path / "fleet").close()
    database = FleetDb(tmp_path / "fleet" / "fleet.db")

    def changes(outcome: str) -> int:
        device, before = SIGNERS[0].public_key.thumbprint(), database._writer.total_changes
        with database.transaction():
            for _ in range(2):
                database.at_hand.save_result(
                    class_id=bytes(16), sequence=1, device=device, outcome=outcome
                )
                end = End(device=device, sequence=1, outcome=outcome, report=b"report")
                database.at_hand.save_end(end, class_id=bytes(16), received=1)
        return database._writer.total_changes - before

    counts = [changes(outcome) for outcome in ("failed", "failed", "confirmed", "failed")]
    database.close()
    # A result and an end; nothing; another result, another end; the result again, the end is kept.
    assert counts == [2, 0, 2, 1]


def test_counts_follow_what_devices_say_whether_or_not_they_said_it_before(tmp_path: Path) -> None:
    """A row that says what it said leaves the index of classes and outcomes alone."""
    fleet = start(tmp_path / "fleet")
    stale = []
    said = [Outcome.STALE, Outcome.STALE, Outcome.CHECKED_IN, Outcome.CHECKED_IN, Outcome.STALE]
    for boot, outcome in enumerate(said):
        assert fleet.take_report(report(0, order=(boot, 1), outcome=outcome)).exception(60) is None
        stale.append(fleet.summary(CLASS)["stale"])
    fleet.close()
    assert stale == [1, 1, 0, 0, 1]
    with closing(sqlite3.connect(tmp_path / "fleet" / "fleet.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        ((boot, kept),) = database.execute("SELECT boot, report FROM seen").fetchall()
    assert (boot, kept) == (4, report(0, order=(4, 1), outcome=Outcome.STALE))
