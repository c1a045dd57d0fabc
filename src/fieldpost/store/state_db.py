# SPDX-License-Identifier: Apache-2.0
"""The state database: what a node would otherwise recompute from its log at every start.

SQLite in WAL mode with synchronous=FULL. One transaction for each batch carries the written map
keys and values, the receipts (digest of an entry -> index), the index of links, the values that
the batch replaced, and the size of the log that all this belongs to. So the file always describes
the log at exactly one size. It can be deleted; the log rebuilds it.

A batch appends its written keys and its receipts to `later` as one row, and they go into their
tables together once they are many, and when the file is closed (`fieldpost.store.later`). To open
the file, or to read it, needs no room on the disk.

Replaced values lead back to older maps: those of sizes that are not published yet, and of
published ones that some device policy still needs. Of the latter the signed notes are kept too,
since `log/checkpoint` has only the newest.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from fieldpost.database import connect, is_full
from fieldpost.durable import DiskFull, free_bytes
from fieldpost.errors import Malformed, Misconfigured, NotFound, Unavailable
from fieldpost.store.later import (
    Later,
    append_later,
    decode_pairs,
    encode_pairs,
    places,
    put,
    read_later,
)

STATE_DB_VERSION: Final = 5
_ASKED_AT_ONCE: Final = 128
# Keys and receipts that wait in `later`, also those that were written again.
_MOST_LATER: Final = 32_768
# What a row may take in the write-ahead log: a page of its own, and its share of those above.
_ROW_ROOM_BYTES: Final = 5 * 1024
_LATER: Final = (
    "CREATE TABLE later (size INTEGER PRIMARY KEY, vals BLOB NOT NULL, receipts BLOB NOT NULL);"
)
_SCHEMA: Final = (
    """
CREATE TABLE state (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE receipt (digest BLOB PRIMARY KEY, position INTEGER NOT NULL, size INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE link (record BLOB, epoch INTEGER, position INTEGER NOT NULL,
    PRIMARY KEY (record, epoch)) WITHOUT ROWID;
CREATE TABLE replaced (size INTEGER PRIMARY KEY, vals BLOB NOT NULL);
CREATE TABLE head (size INTEGER PRIMARY KEY, note BLOB NOT NULL);
CREATE TABLE log (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL);
INSERT INTO log VALUES (1, 0);
CREATE TABLE block (one INTEGER PRIMARY KEY CHECK (one = 1), height INTEGER NOT NULL);
INSERT INTO block VALUES (1, 0);
"""
    + _LATER
)
_FROM_BEFORE: Final = "INSERT INTO later SELECT size, vals, x'' FROM before; DROP TABLE before;"
STEPS: Final = {
    3: _LATER,
    4: "ALTER TABLE later RENAME TO before;" + _LATER + _FROM_BEFORE,
}
"""Older versions, and what makes each one the newest. Whoever opens the file compares its values
with the log in any case; to make them anew takes minutes for a board with 10^6 entries."""

_SOME_ITEMS: Final = "SELECT key, value FROM state WHERE key > ? ORDER BY key LIMIT 4096"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """One batch: the log goes from `before` to `size` entries.

    `height` is that of the block that the batch came in; None where nothing orders blocks. A block
    that adds nothing to the log still moves it.

    `writes` are map keys and new values, `replaced` the same keys and their old values (None: the
    key is new), `receipts` pairs of an entry's SHA-256 and its index, `links` triples of a
    record's map key, epoch and the link entry's index.
    """

    before: int
    size: int
    writes: Mapping[bytes, bytes]
    replaced: Mapping[bytes, bytes | None]
    receipts: Sequence[tuple[bytes, int]] = ()
    links: Sequence[tuple[bytes, int, int]] = field(default=())
    height: int | None = None

    def places(self) -> dict[bytes, tuple[int, int]]:
        """(index, size of the log after the batch) of each entry, by its SHA-256."""
        return {digest: (index, self.size) for digest, index in self.receipts}


class StateDb:
    """The open database at `path`. Every method raises Unavailable if the disk fails.

    Safe for use by several threads, one call at a time. Raises Misconfigured at opening for a file
    that is no state database of this version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._later = Later()
        # How many more may wait since the disk had no room for them.
        self._beyond = 0
        self._lock = threading.Lock()
        with _explained(path):
            self._db = connect(path)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file. What waits goes into its tables, if the disk lets it."""
        if self._later.count:
            with suppress(Unavailable, Misconfigured):
                self._call(self._settle)
        # What still waits stays known: who asks later hears that the file is closed, and never
        # that an entry is not there.
        with self._lock:
            self._db.close()

    def settle(self) -> None:
        """Put what waits into its tables now. Raises DiskFull where there is no room for it."""
        self._call(self._move_to_tables)

    def size(self) -> int:
        """The size of the log that the database describes; 0 for a new one."""
        return int(self._call(lambda db: db.execute("SELECT size FROM log").fetchone()[0]))

    def height(self) -> int:
        """The block that this database was last told of; 0 if of none."""
        return int(self._call(lambda db: db.execute("SELECT height FROM block").fetchone()[0]))

    def items(self) -> list[tuple[bytes, bytes]]:
        """All map keys and values, sorted by key."""
        return list(self.each_item())

    def each_item(self) -> Iterator[tuple[bytes, bytes]]:
        """`items`, some at a time: for a map that is not wanted twice in memory."""
        waiting = sorted(self._later.writes.items(), reverse=True)
        some = self._items_after(b"")
        while some:
            for item in some:
                while waiting and waiting[-1][0] < item[0]:
                    yield waiting.pop()
                # What waits is newer than what stands in the table.
                yield waiting.pop() if waiting and waiting[-1][0] == item[0] else item
            some = self._items_after(some[-1][0])
        yield from reversed(waiting)

    def _items_after(self, key: bytes) -> list[tuple[bytes, bytes]]:
        return self._call(lambda db: db.execute(_SOME_ITEMS, (key,)).fetchall())

    def find_receipt(self, digest: bytes) -> tuple[int, int]:
        """(index, size of the log after its batch) of the entry with this SHA-256, or NotFound."""
        found = self.find_receipts([digest])
        if digest not in found:
            raise NotFound(f"no entry with digest {digest.hex()}")
        return found[digest]

    def find_receipts(self, digests: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
        """`find_receipt` of each digest that there is one for; few statements for many digests."""
        return self._call(lambda db: self._find_receipts(db, digests))

    def _find_receipts(
        self, db: sqlite3.Connection, digests: Sequence[bytes]
    ) -> dict[bytes, tuple[int, int]]:
        waiting = self._later.receipts
        found = {digest: waiting[digest] for digest in digests if digest in waiting}
        return found | _find_in_table(db, [digest for digest in digests if digest not in found])

    def links_since(self, record: bytes, epoch: int, *, size: int) -> list[int]:
        """The indexes below `size` of a record's links with a greater epoch, oldest first."""
        query = (
            "SELECT position FROM link"
            " WHERE record = ? AND epoch > ? AND position < ? ORDER BY epoch"
        )
        values = (record, epoch, size)
        return [row[0] for row in self._call(lambda db: db.execute(query, values).fetchall())]

    def replaced_since(self, size: int) -> dict[bytes, bytes | None]:
        """What leads from the newest map back to the one of `size`: keys and old values.

        Known for the size that `commit` was last told to keep, and for all larger ones.
        """
        query = "SELECT vals FROM replaced WHERE size > ? ORDER BY size DESC"

        def read(db: sqlite3.Connection) -> dict[bytes, bytes | None]:
            old: dict[bytes, bytes | None] = {}
            for (vals,) in db.execute(query, (size,)):
                old.update(decode_pairs(vals))
            return old

        return self._call(read)

    def replaced(self) -> dict[int, dict[bytes, bytes | None]]:
        """All that `replaced_since` knows, by the size of the log after each batch."""
        query = "SELECT size, vals FROM replaced"
        return self._call(
            lambda db: {size: dict(decode_pairs(vals)) for size, vals in db.execute(query)}
        )

    def heads(self) -> dict[int, bytes]:
        """The notes of older published sizes that are still needed, by size."""
        return dict(self._call(lambda db: db.execute("SELECT size, note FROM head").fetchall()))

    def save_heads(self, notes: Mapping[int, bytes]) -> None:
        """Replace what `heads` gives."""
        self._call(lambda db: self._save_heads(db, notes))

    def _save_heads(self, db: sqlite3.Connection, notes: Mapping[int, bytes]) -> None:
        with _transaction(db):
            db.execute("DELETE FROM head")
            db.executemany("INSERT INTO head VALUES (?, ?)", sorted(notes.items()))

    def commit(self, change: StateChange, *, keep: int) -> None:
        """Make one batch durable. What was replaced up to size `keep` is forgotten.

        Raises Misconfigured if the database is at another size than `change.before`.
        """
        self.commit_many([change], keep=keep)

    def commit_many(self, changes: Sequence[StateChange], *, keep: int) -> None:
        """`commit` for batches that follow each other, in one transaction."""
        self._call(lambda db: self._commit(db, changes, keep))

    def _commit(self, db: sqlite3.Connection, changes: Sequence[StateChange], keep: int) -> None:
        new = Later()
        with _transaction(db):
            db.execute("DELETE FROM replaced WHERE size <= ?", (keep,))
            for change in changes:
                self._write(db, change, keep)
                if change.size > change.before:
                    append_later(db, change.size, change.writes, change.receipts)
                new.add(change.writes, change.places())
        self._later.add(new.writes, new.receipts)
        if self._later.count > _MOST_LATER + self._beyond:
            self._settle(db)

    def _settle(self, db: sqlite3.Connection) -> None:
        """Put what waits into the tables, as much at a time as there is room for; or it waits.

        Not in a batch's transaction: nearly every row changes a page, tens of megabytes in all, and
        a batch that needed them would be refused again and again by a disk that has room for it.
        So more and more waits only where the rows of the oldest batch alone do not fit: a few MiB
        for most, 80 MiB for 2,048 posts that write four rows each. A disk with so little room has
        none for much more of it, nor has a quota, which nobody sees before it refuses: each row
        that waits takes a hundred bytes at least.
        """
        with suppress(Unavailable, sqlite3.OperationalError):
            while count := self._later.count:
                room = free_bytes(self._path.parent) // _ROW_ROOM_BYTES
                # Of less than all half, for tables that grow before the room is given back.
                if not self._move_to_tables(db, count if room >= count else room // 2):
                    break
                # To the disk, for the next part. Another connection may read what is there.
                if self._later.count and _empty_wal(db):
                    break
        self._beyond = max(self._later.count + _MOST_LATER // 4 - _MOST_LATER, 0)

    def _move_to_tables(self, db: sqlite3.Connection, most: int | None = None) -> bool:
        """Put the oldest of what waits into the tables, `most` rows or all; whether there was any.

        As the file has it: after a failed batch it was opened anew, and may know more than whoever
        closes it later. Of a key the newer value, which waits on, is found before the table's.
        """
        with _transaction(db):
            moved = read_later(db, most)
            put(db, moved.writes, moved.receipts)
            db.execute("DELETE FROM later WHERE size <= ?", (moved.size,))
        if moved.count:
            self._later = read_later(db)
        return bool(moved.count)

    def begin_with(self, changes: Iterable[StateChange], *, height: int) -> None:
        """Forget everything and know `changes` from size 0 on instead, in one transaction.

        Nothing leads back to older maps then.
        """
        self._call(lambda db: self._begin_with(db, changes, height))

    def _begin_with(
        self, db: sqlite3.Connection, changes: Iterable[StateChange], height: int
    ) -> None:
        with _transaction(db):
            for table in ("state", "later", "receipt", "link", "replaced", "head"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
            db.execute("UPDATE log SET size = 0")
            for change in changes:
                self._write(db, change, change.size)
                put(db, change.writes, change.places())
            db.execute("UPDATE block SET height = ?", (height,))
        self._later = Later()

    def _write(self, db: sqlite3.Connection, change: StateChange, keep: int) -> None:
        moved = db.execute("UPDATE log SET size = ? WHERE size = ?", (change.size, change.before))
        if moved.rowcount != 1:
            raise Misconfigured(f"{self._path} is not at size {change.before}: who writes it?")
        if change.height is not None:
            db.execute("UPDATE block SET height = ?", (change.height,))
        if change.size == change.before:
            return
        db.executemany("INSERT INTO link VALUES (?, ?, ?)", change.links)
        if change.size > keep:
            row = change.size, encode_pairs(change.replaced)
            db.execute("INSERT INTO replaced VALUES (?, ?)", row)

    def _prepare(self) -> None:
        version = self._call(lambda db: db.execute("PRAGMA user_version").fetchone()[0])
        if version == 0 or version in STEPS:
            change = STEPS.get(version, _SCHEMA)
            script = f"BEGIN; {change} PRAGMA user_version = {STATE_DB_VERSION}; COMMIT;"
            self._call(lambda db: db.executescript(script))
        elif version != STATE_DB_VERSION:
            raise Misconfigured(
                f"{self._path} is of version {version}, this program knows {STATE_DB_VERSION}: "
                "`fieldpost node rebuild` makes it anew from the log"
            )
        self._later = self._call(read_later)

    def _call(self, query: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock, _explained(self._path):
            return query(self._db)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
        family = DiskFull if is_full(error) else Unavailable
        raise family(f"cannot use {path}: {error}") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError, Malformed, TypeError) as error:
        raise Misconfigured(
            f"{path} is damaged ({error}): stop the node and run `fieldpost node rebuild`, which "
            "makes it anew from the log"
        ) from error


def _empty_wal(db: sqlite3.Connection) -> bool:
    """Give the room of the write-ahead log back to the disk; whether somebody was in the way."""
    return bool(db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])


def _find_in_table(
    db: sqlite3.Connection, digests: Sequence[bytes]
) -> dict[bytes, tuple[int, int]]:
    found: dict[bytes, tuple[int, int]] = {}
    for start in range(0, len(digests), _ASKED_AT_ONCE):
        some = list(digests[start : start + _ASKED_AT_ONCE])
        if len(some) > 1:
            # Filled up with one of them, so that SQLite compiles two statements and no more.
            some += some[:1] * (_ASKED_AT_ONCE - len(some))
        query = f"SELECT digest, position, size FROM receipt WHERE digest IN {places(1, len(some))}"  # noqa: S608 - question marks
        found |= {digest: (position, size) for digest, position, size in db.execute(query, some)}
    return found


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
