# SPDX-License-Identifier: Apache-2.0
"""What of fleet.db can be proven: lots by the board, kept reports by their devices' keys.

How often a device reported before, when a report came, clone marks and how releases ended rest on
reports that are not kept; of those tables only SQLite's own structure is checked.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from fieldpost.database import is_damage, is_full
from fieldpost.durable import DiskFull
from fieldpost.errors import FieldpostError, Unavailable
from fieldpost.fleet.migrations import migrate
from fieldpost.identity.leaf import decode_leaf
from fieldpost.identity.lot import LotTree
from fieldpost.identity.report import verify_report
from fieldpost.records.lot import LotRecord

UNPROVABLE: Final = "clones, results, arrival times, and the past of each device"
# The lot that an entry of the log enrolled; None for every other entry, and where there is none.
LotAt = Callable[[int], LotRecord | None]


def wrong_fleet(path: Path, lot_at: LotAt, board: str) -> Iterator[str]:
    """What is wrong in a copy of fleet.db that is the caller's to change, in words.

    The copy is brought to this program's version first, as the next start would bring the file.
    Raises Misconfigured for a file of a newer program, which this one cannot judge, and Unavailable
    where the copy cannot be changed, DiskFull for want of room.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        try:
            for row in db.execute("PRAGMA integrity_check").fetchall():
                if row != ("ok",):
                    yield f"SQLite says: {row[0]}"
                    return
            migrate(db, Path("fleet.db"))
            if _tables(db) != _tables_of_today():
                yield "its tables are not those of this program"
                return
            yield from _wrong_lots(db, lot_at)
            yield from _wrong_places(db)
            yield from _wrong_reports(db, board)
            yield from _wrong_ends(db, board)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if not is_damage(error):
                family = DiskFull if is_full(error) else Unavailable
                raise family(f"cannot change {path}: {error}") from error
            yield f"SQLite says: {error}"


def _tables(db: sqlite3.Connection) -> list[tuple[str, str, str]]:
    return db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()


def _tables_of_today() -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db, Path("fleet.db"))
        return _tables(db)


def _wrong_lots(db: sqlite3.Connection, lot_at: LotAt) -> Iterator[str]:
    for lot, class_id, count, root, entry in db.execute("SELECT * FROM lots"):
        posted = lot_at(entry) if isinstance(entry, int) else None
        said = posted and (posted.id, posted.class_id, posted.count, posted.root)
        if said != (lot, class_id, count, root):
            yield f"lot {_hex(lot)} is not the one on the board"
            continue
        rows = db.execute("SELECT leaf FROM leaves WHERE lot = ? ORDER BY idx", (lot,)).fetchall()
        try:
            tree = LotTree.build(leaf for (leaf,) in rows)
        except (FieldpostError, TypeError) as error:
            yield f"the leaves of lot {lot.hex()} cannot be read: {error}"
            continue
        if (tree.count, tree.root) != (count, root):
            yield f"the leaves of lot {lot.hex()} do not hash to the root on the board"


def _wrong_places(db: sqlite3.Connection) -> Iterator[str]:
    (alone,) = db.execute(
        "SELECT count(*) FROM leaves WHERE (lot, idx) NOT IN "
        "(SELECT lot, idx FROM devices UNION SELECT lot, idx FROM again)"
    ).fetchone()
    if alone:
        yield f"{alone} leaves belong to no device"
    query = "SELECT device, leaf FROM devices LEFT JOIN leaves USING (lot, idx)"
    for device, leaf in db.execute(query):
        try:
            right = leaf is not None and decode_leaf(leaf).key.thumbprint() == device
        except (FieldpostError, TypeError):
            right = False
        if not right:
            yield f"device {_hex(device)} does not stand where it is said to"


def _wrong_reports(db: sqlite3.Connection, board: str) -> Iterator[str]:
    query = (
        "SELECT seen.device, seen.class, boot, counter, outcome, size, report, leaf, lots.class "
        "FROM seen LEFT JOIN devices USING (device) LEFT JOIN leaves USING (lot, idx) "
        "LEFT JOIN lots USING (lot)"
    )
    for device, class_id, boot, counter, outcome, size, data, leaf, of_lot in db.execute(query):
        try:
            report = verify_report(data, decode_leaf(leaf).key, board=board)
            said = (report.device, report.boot_count, report.counter, report.outcome.value)
            right = said == (device, boot, counter, outcome) and class_id == of_lot
            # Older programs wrote down no size.
            right = right and (size is None or (report.head is not None and report.head[0] == size))
        except (FieldpostError, TypeError):
            right = False
        if not right:
            yield f"the newest report of device {_hex(device)} is not what its key signed"


def _wrong_ends(db: sqlite3.Connection, board: str) -> Iterator[str]:
    query = (
        "SELECT number, device, sequence, outcome, report, leaf "
        "FROM ends LEFT JOIN devices USING (device) LEFT JOIN leaves USING (lot, idx)"
    )
    for number, device, sequence, outcome, data, leaf in db.execute(query):
        try:
            report = verify_report(data, decode_leaf(leaf).key, board=board)
            said = (report.device, report.components[0].sequence, report.outcome.value)
            right = said == (device, sequence, outcome)
        except (FieldpostError, TypeError, IndexError):
            right = False
        if not right:
            yield f"kept report {number} is not what the key of device {_hex(device)} signed"


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)
