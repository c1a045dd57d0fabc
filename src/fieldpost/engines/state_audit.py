# SPDX-License-Identifier: Apache-2.0
"""Is state.db what the log makes of it? Every row is compared with a database made anew.

    audit = StateAudit(copy of data / "state.db", scratch_folder)
    for each batch of the log: audit.follow(map before, size before, batch)
    wrong = audit.finish()

A copy is looked at, and changed, so that a running node is not held up. What differs in no row, as
bytes that SQLite does not use, changes nothing that a node ever reads.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import Final

from fieldpost.database import is_damage, is_full
from fieldpost.durable import DiskFull
from fieldpost.engines.writer import change_of
from fieldpost.errors import Misconfigured, Unavailable
from fieldpost.ledger.batch import Batch
from fieldpost.statemap import StateMap
from fieldpost.store.state_db import STATE_DB_VERSION, STEPS, StateChange, StateDb
from fieldpost.store.state_files import state_db_version

_AT_ONCE: Final = 256
# What every row of these tables must be follows from the log alone.
_TABLES: Final = (
    ("sqlite_master", "type, name, sql"),
    ("log", "one, size"),
    ("state", "key, value"),
    ("receipt", "digest, position, size"),
    ("link", "record, epoch, position"),
)


class StateAudit:
    """A copy of a state database, the caller's to change, and beside it what it should be.

    `notes`: older heads in it, by size, of any type; `broken`: what is wrong whatever the log says.
    All of it raises Unavailable, DiskFull for want of room, where the copies cannot be worked with,
    which says nothing of the file; making it Misconfigured for a file of a version that this
    program does not open, and so cannot judge.
    """

    def __init__(self, copy: Path, scratch: Path) -> None:
        self._found = copy
        self._made = scratch / "made.db"
        self._wrong: list[str] = []
        self._changes: list[StateChange] = []
        self._replaced: dict[int, dict[bytes, bytes | None]] = {}
        self._size = 0
        self.notes: dict[int, object] = {}
        _check_version(copy)
        self._expected = _make(self._made)
        try:
            known = state_db_version(self._found)
            self._size = known[1] if known else 0
            db = StateDb(self._found)
            try:
                self.notes = {**db.heads()}
                self._replaced = db.replaced()
                # Tables are compared, and what waits for them is in none.
                db.settle()
            finally:
                db.close()
        except DiskFull:
            self._expected.close()
            raise
        except (Unavailable, Misconfigured, ValueError, AssertionError) as error:
            cause = error.__cause__
            if isinstance(cause, sqlite3.Error) and not is_damage(cause):
                self._expected.close()
                raise Unavailable(f"cannot use {copy}: {cause}") from cause
            self._wrong.append(str(error).replace(str(copy), copy.name))
        self.broken = tuple(self._wrong)

    @property
    def size(self) -> int:
        """Of how many entries it was made; 0 where it is damaged, and nothing it says counts."""
        return 0 if self.broken else self._size

    def follow(self, before: StateMap | None, size: int, batch: Batch) -> None:
        """The next batch of the log, which begins at `size` over the map `before`."""
        if batch.state.size > self._size or self._wrong:
            return
        change = change_of(before, size, batch)
        kept = self._replaced.pop(change.size, None)
        if kept is not None and kept != change.replaced:
            self._wrong.append(f"what the batch of size {change.size} replaced is told wrongly")
        self._changes.append(change)
        if len(self._changes) >= _AT_ONCE:
            self._write()

    def finish(self) -> list[str]:
        """What is wrong, in words; nothing for a database that the log explains."""
        self._write()
        at = self._expected.size()
        self._expected.settle()
        self._expected.close()
        if not self._wrong and at != self._size:
            self._wrong.append(f"it is of size {self._size}, where no batch of the log ends")
        if self._replaced and not self._wrong:
            self._wrong.append(f"it tells of a batch of size {min(self._replaced)}, there is none")
        if not self._wrong:
            self._wrong += _differences(self._found, self._made)
        return self._wrong

    def _write(self) -> None:
        if self._changes:
            self._expected.commit_many(self._changes, keep=self._size)
            self._changes.clear()


def _check_version(copy: Path) -> None:
    try:
        with closing(sqlite3.connect(copy)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
    except (sqlite3.Error, UnicodeDecodeError):
        return  # whoever opens it next says what is wrong
    if version > STATE_DB_VERSION:
        raise Misconfigured(
            f"it is of version {version}, this program knows {STATE_DB_VERSION}: check it with the "
            "program that wrote it"
        )
    if version not in (0, STATE_DB_VERSION, *STEPS):
        raise Misconfigured(
            f"it is of version {version}, which this program does not open: the next start makes "
            "it anew from the log"
        )


def _make(path: Path) -> StateDb:
    try:
        return StateDb(path)
    except Misconfigured as error:
        raise Unavailable(
            f"SQLite cannot write durably in {path.parent}: set TMPDIR to a folder on a local "
            "file system"
        ) from error


def _differences(found: Path, made: Path) -> Iterator[str]:
    with closing(sqlite3.connect(found)) as here, closing(sqlite3.connect(made)) as there:
        try:
            for row in here.execute("PRAGMA integrity_check").fetchall():
                if row != ("ok",):
                    yield f"SQLite says: {row[0]}"
                    return
            for table, columns in _TABLES:
                query = f"SELECT {columns} FROM {table} ORDER BY 1, 2"  # noqa: S608 - our own names
                for row, wanted in zip_longest(here.execute(query), there.execute(query)):
                    if row != wanted:
                        yield f"a row of its table {table} is not what the log says"
                        break
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if not is_damage(error):
                family = DiskFull if is_full(error) else Unavailable
                raise family(f"cannot compare {found} with {made}: {error}", None) from error
            yield f"SQLite says: {error}"
