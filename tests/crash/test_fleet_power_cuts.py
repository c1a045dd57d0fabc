# SPDX-License-Identifier: Apache-2.0
"""The fleet's database after any power cut, and on a full disk: an acknowledged report is there.

SQLite writes by itself, so its files are torn by what it promises (`testing.torn_database`), inside
of every commit and of every checkpoint; full is a real file system that is full.
"""

import sqlite3
from pathlib import Path
from random import Random

import pytest

from fieldpost import cbor
from fieldpost.errors import NotFound, Unavailable
from fieldpost.fleet.database import FleetDb
from fieldpost.fleet.service import FleetService
from fieldpost.testing.torn_database import Files, read_database, torn_databases, write_database
from tests.crash.mounted import fill, mounted, need
from tests.unit.fleet.test_fleet_service import LEAVES, LOT, SIGNERS, open_fleet, report, take

pytestmark = pytest.mark.crash

FILE = "fleet.db"
ORDERS = [(boot, counter) for boot in (1, 2) for counter in (1, 2)]


def seen(folder: Path) -> dict[bytes, tuple[int, int]]:
    """(boot, counter) of each device's newest report, as the next start finds it."""
    db = FleetDb(folder / FILE)
    found: dict[bytes, tuple[int, int]] = {}
    try:
        for signer in SIGNERS:
            device = signer.public_key.thumbprint()
            try:
                newest = db.find_seen(device)
            except NotFound:
                continue
            if newest is not None:
                found[device] = newest.boot, newest.counter
    finally:
        db.close()
    return found


def torn_lives(data: Path, copy: Path) -> tuple[int, list[str]]:
    """States that were judged, and those that lack what was acknowledged."""
    copy.mkdir()
    fleet = open_fleet(data)
    fleet.store_leaves(LOT, [cbor.encode(LEAVES)])
    promised: dict[bytes, tuple[int, int]] = {}
    judged, failures = 0, []
    for moment, (number, order) in enumerate((n, o) for o in ORDERS for n in range(len(SIGNERS))):
        before = read_database(data / FILE)
        take(fleet, report(number, order=order))
        device = SIGNERS[number].public_key.thumbprint()
        torn = torn_databases(before, read_database(data / FILE), chance=Random(moment), by_lot=3)
        for left in torn:
            judged += 1
            failures += judge(copy, left, promised, {device: order})
        promised[device] = order
        failures += judge(copy, read_database(data / FILE), promised, {})
    fleet.close()
    return judged, failures


def judge(
    copy: Path,
    left: Files,
    promised: dict[bytes, tuple[int, int]],
    under_way: dict[bytes, tuple[int, int]],
) -> list[str]:
    """What is wrong with a state: each device is where it was promised, or one report further."""
    write_database(copy / FILE, left)
    found = seen(copy)
    return [
        f"{device.hex()[:8]}: {found.get(device)} and not {order}"
        for device, order in promised.items()
        if found.get(device) not in (order, under_way.get(device, order))
    ]


def test_no_power_cut_loses_a_report_that_was_acknowledged(memory: Path) -> None:
    (memory / "data").mkdir()
    judged, failures = torn_lives(memory / "data", memory / "copy")
    assert failures == []
    assert judged > 150


def test_reports_that_are_acknowledged_before_they_are_committed_are_lost(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: COMMIT comes after the answer, as a write that is only buffered would."""
    real = FleetService.take_report

    def hasty(self: FleetService, data: bytes):  # type: ignore[no-untyped-def]
        from concurrent.futures import Future

        kept.append((self, data))
        done: Future[None] = Future()
        done.set_result(None)
        if len(kept) > 1:
            real(*kept.pop(0)).result(timeout=60)
        return done

    kept: list[tuple[FleetService, bytes]] = []
    monkeypatch.setattr(FleetService, "take_report", hasty)
    (memory / "data").mkdir()
    _, failures = torn_lives(memory / "data", memory / "copy")
    assert failures


def test_a_full_disk_refuses_reports_and_takes_them_when_there_is_room(tmp_path: Path) -> None:
    need("mount", "umount")
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs") as disk:
        fleet = open_fleet(disk)
        fleet.store_leaves(LOT, [cbor.encode(LEAVES)])
        take(fleet, report(0))
        ballast = fill(disk)
        refused = [order for order in ORDERS * 40 if _is_refused(fleet, order)]
        assert refused, "it was never full"
        ballast.unlink()
        take(fleet, report(2, order=(9, 9)))
        fleet.close()
        found = seen(disk)
        assert found[SIGNERS[0].public_key.thumbprint()] == (1, 1)
        assert found[SIGNERS[2].public_key.thumbprint()] == (9, 9)
        with sqlite3.connect(disk / FILE) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _is_refused(fleet: FleetService, order: tuple[int, int]) -> bool:
    try:
        take(fleet, report(1, order=order))
    except Unavailable as error:
        return "full" in str(error)
    return False
