# SPDX-License-Identifier: Apache-2.0
"""An index over the log that the state map does not give: releases, lots, blobs.

A SQLite file that may be deleted at any time: it is filled again from the log. It follows lazily,
when somebody asks, up to the published size, so that writing posts never waits for it. What it
says decides which uploads are taken and what lists show; nothing of it is ever proof.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fieldpost.database import connect
from fieldpost.errors import Malformed, Misconfigured, NotFound, Unavailable
from fieldpost.posts.envelope import decode_post
from fieldpost.records.lot import decode_lot_record
from fieldpost.records.maker import decode_maker_record
from fieldpost.records.release import decode_release_record
from fieldpost.records.state_leaf import is_state_leaf

_STEP: Final = 4_096
CATALOG_VERSION: Final = 3
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS followed (board TEXT NOT NULL, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS releases (
  class BLOB NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (class, sequence)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lots (lot BLOB PRIMARY KEY, entry INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS makers (maker BLOB PRIMARY KEY, max_age INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS named (
  digest BLOB, maker BLOB, class BLOB, sequence INTEGER, size INTEGER,
  PRIMARY KEY (digest, maker, class, sequence)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS named_by_maker ON named (maker, digest);
CREATE INDEX IF NOT EXISTS named_by_release ON named (class, sequence);
"""


@dataclass(frozen=True, slots=True)
class Named:
    """A release that names a blob, and the blob's bytes; None where the release does not say."""

    class_id: bytes
    sequence: int
    size: int | None


class Catalog:
    """The index. `read_entries(start, end)` gives the log's entries. For any thread.

    What the file says of another board, or of a longer log than the one of `size`, is dropped.
    """

    def __init__(
        self,
        path: Path,
        read_entries: Callable[[int, int], Iterable[bytes]],
        *,
        board: str,
        size: int,
    ) -> None:
        self._read_entries = read_entries
        self._board = board
        self._lock = threading.Lock()
        try:
            self._connection = connect(path)
            self._connection.executescript(_SCHEMA)
            row = self._connection.execute("SELECT board, size FROM followed").fetchone()
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version != CATALOG_VERSION or row is None or row[0] != board or row[1] > size:
                self._forget(board)
        except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
            raise Unavailable(f"cannot use {path}: {error}") from error
        except sqlite3.Error as error:
            raise Misconfigured(
                f"{path} is damaged ({error}): remove it with its -wal and -shm; it is made anew "
                "from the log"
            ) from error

    def _forget(self, board: str) -> None:
        self._connection.execute("BEGIN")
        for table in ("followed", "releases", "lots", "makers", "named"):
            self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
        self._connection.execute("INSERT INTO followed VALUES (?, 0)", (board,))
        self._connection.execute(f"PRAGMA user_version = {CATALOG_VERSION}")
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def sequences(self, class_id: bytes, *, size: int) -> list[int]:
        """The sequences of a class's releases in the log of `size`, newest first."""
        rows = self._ask(
            size, "SELECT sequence FROM releases WHERE class = ? ORDER BY sequence DESC", class_id
        )
        return [row[0] for row in rows]

    def releases(self, *, size: int) -> list[tuple[bytes, int]]:
        """Class and sequence of every release in the log of `size`."""
        return [(row[0], row[1]) for row in self._ask(size, "SELECT * FROM releases")]

    def check_named(self, digest: bytes, *, size: int) -> None:
        """Raises NotFound if no release in the log of `size` names this blob."""
        if not self._ask(size, "SELECT 1 FROM named WHERE digest = ? LIMIT 1", digest):
            raise NotFound("no posted release names this blob; publish the release first")

    def named_by(self, maker: bytes, digest: bytes, *, size: int) -> list[Named]:
        """Where a maker's releases in the log of `size` name a blob."""
        sql = "SELECT class, sequence, size FROM named WHERE digest = ? AND maker = ?"
        return [Named(*row) for row in self._ask(size, sql, digest, maker)]

    def blobs_of_release(self, named: Named, *, size: int) -> list[tuple[bytes, int | None]]:
        """The blobs of a release, and their bytes where it says so."""
        sql = "SELECT digest, size FROM named WHERE class = ? AND sequence = ?"
        return [(row[0], row[1]) for row in self._ask(size, sql, named.class_id, named.sequence)]

    def blobs_of_maker(self, maker: bytes, *, size: int) -> list[bytes]:
        """Every blob that a release of this maker names."""
        rows = self._ask(size, "SELECT DISTINCT digest FROM named WHERE maker = ?", maker)
        return [row[0] for row in rows]

    def lot_entry(self, lot: bytes, *, size: int) -> int:
        """The index of the entry that enrolled a lot. Raises NotFound in the log of `size`."""
        rows = self._ask(size, "SELECT entry FROM lots WHERE lot = ?", lot)
        if not rows:
            raise NotFound("no post has enrolled this lot")
        entry: int = rows[0][0]
        return entry

    def least_max_age_s(self, *, size: int) -> int | None:
        """The shortest `max_age` of any maker's policy for this board; None without makers."""
        least: int | None = self._ask(size, "SELECT MIN(max_age) FROM makers")[0][0]
        return least

    def _ask(self, size: int, sql: str, *values: bytes | int) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                self._follow(size)
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise Unavailable(f"the catalog failed: {error}; it may be deleted") from error

    def _follow(self, size: int) -> None:
        at: int = self._connection.execute("SELECT size FROM followed").fetchone()[0]
        while at < size:
            end = min(at + _STEP, size)
            entries = self._read_entries(at, end)
            self._connection.execute("BEGIN")
            try:
                for index, entry in enumerate(entries, at):
                    self._add(index, entry)
                self._connection.execute("UPDATE followed SET size = ?", (end,))
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            at = end

    def _add(self, index: int, entry: bytes) -> None:
        if is_state_leaf(entry):
            return
        with suppress(Malformed):  # entries of kinds that this version does not know
            statement = decode_post(entry).statement
            if statement.kind == "lot.enrol":
                lot = decode_lot_record(statement.payload).id
                self._connection.execute("INSERT OR IGNORE INTO lots VALUES (?, ?)", (lot, index))
            if statement.kind in ("maker.register", "maker.set"):
                policy = decode_maker_record(statement.payload).policy
                maker = bytes.fromhex(statement.issuer)
                self._connection.execute("DELETE FROM makers WHERE maker = ?", (maker,))
                if policy.board == self._board:
                    row = (maker, policy.max_age_s)
                    self._connection.execute("INSERT INTO makers VALUES (?, ?)", row)
            if statement.kind != "release.publish":
                return
            release = decode_release_record(statement.payload)
            self._connection.execute(
                "INSERT OR IGNORE INTO releases VALUES (?, ?)", (release.class_id, release.sequence)
            )
            blobs: list[tuple[bytes, int | None]] = [(a.digest, a.size) for a in release.artifacts]
            blobs += [(digest, None) for digest in (release.sbom, release.notes) if digest]
            where = (bytes.fromhex(statement.issuer), release.class_id, release.sequence)
            self._connection.executemany(
                "INSERT OR IGNORE INTO named VALUES (?, ?, ?, ?, ?)",
                [(digest, *where, size) for digest, size in blobs],
            )
