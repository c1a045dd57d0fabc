# SPDX-License-Identifier: Apache-2.0
"""What a monitor must not forget: one SQLite file, `monitor.db`.

    meta        board, and `judged`: how many entries of the log were judged
    makers      what is known of each watched maker, as JSON of some hundred bytes
    links       the board's links so far, for evidence
    alarms      every alarm, once for its id
    waiting     alarms that a path has not taken yet
    conditions  what lasts: blind, stale, …

What entries led to and that they were judged is one transaction, so an entry is judged until its
alarms are on the disk, and an alarm that is on the disk is not raised again. WAL, synchronous=FULL.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fieldpost.database import connect
from fieldpost.errors import Misconfigured, Unavailable
from fieldpost.watch.monitor.alarm import Alarm, read_alarm
from fieldpost.watch.monitor.judging import Watched

VERSION: Final = 1
MOST_WAITING: Final = 10_000
"""Alarms that one path may owe; what comes beyond is told as one alarm `too-many`."""
ALARMS_KEPT: Final = 1_000_000
_TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE makers (maker BLOB PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE links (number INTEGER PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE alarms (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, value TEXT NOT NULL
);
CREATE TABLE waiting (
    path TEXT, number INTEGER, due INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (path, number)
) WITHOUT ROWID;
CREATE TABLE conditions (name TEXT PRIMARY KEY, since INTEGER NOT NULL)
    WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Owed:
    """An alarm that a path has not taken; `refused` counts how often it said no to this one."""

    number: int
    alarm: Alarm
    refused: int


class Memory:
    """The file below `data`, made where there is none; for several threads.

    Raises Misconfigured for a file of another version, Unavailable where SQLite fails.
    """

    def __init__(self, data: Path) -> None:
        self._lock = threading.RLock()
        path = data / "monitor.db"
        with _explained():
            self._db = connect(path)
            try:
                self._prepare(path)
            except BaseException:
                self._db.close()
                raise

    def _prepare(self, path: Path) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT")
        elif version != VERSION:
            raise Misconfigured(
                f"{path} is of version {version}, this program knows {VERSION}: use the newer one"
            )

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it is durable when this returns, or none of it was written."""
        with self._lock, _explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _all(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with self._lock, _explained():
            return self._db.execute(sql, values).fetchall()

    def _do(self, sql: str, values: Sequence[object] = ()) -> int:
        with self._lock, _explained():
            return self._db.execute(sql, values).rowcount

    # --- the log ---

    def meta(self, name: str) -> str | None:
        """A fact by its name."""
        rows = self._all("SELECT value FROM meta WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def set_meta(self, name: str, value: str) -> None:
        """Write a fact."""
        self._do("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    @property
    def judged(self) -> int:
        """How many entries of the log were judged."""
        return int(self.meta("judged") or 0)

    def makers(self) -> dict[bytes, Watched]:
        """Every maker that is remembered."""
        rows = self._all("SELECT maker, value FROM makers")
        return {maker: _read_watched(str(value)) for maker, value in rows if type(maker) is bytes}

    def save_maker(self, maker: bytes, watched: Watched) -> None:
        """Remember a maker as it is now."""
        self._do("INSERT OR REPLACE INTO makers VALUES (?, ?)", (maker, _write_watched(watched)))

    def forget_maker(self, maker: bytes) -> None:
        """A maker is watched no more; if it is again, its history is read anew."""
        self._do("DELETE FROM makers WHERE maker = ?", (maker,))

    def links(self) -> tuple[bytes, ...]:
        """The board's links, genesis first."""
        rows = self._all("SELECT entry FROM links ORDER BY number")
        return tuple(entry for (entry,) in rows if isinstance(entry, bytes))

    def add_link(self, entry: bytes) -> None:
        """Keep one more link."""
        self._do("INSERT INTO links (entry) VALUES (?)", (entry,))

    # --- alarms ---

    def raise_alarms(self, alarms: Iterable[Alarm], paths: Sequence[str]) -> list[Alarm]:
        """Keep alarms and owe them to every path; those that were raised before are left out."""
        new = []
        for alarm in alarms:
            if self._keep(alarm):
                new.append(alarm)
                for path in paths:
                    self._owe(path, alarm)
        return new

    def _keep(self, alarm: Alarm) -> bool:
        value = json.dumps(alarm.value(), ensure_ascii=False)
        row = (alarm.id, alarm.at, value)
        fresh = self._do("INSERT OR IGNORE INTO alarms (id, at, value) VALUES (?, ?, ?)", row) == 1
        if fresh:
            self._do(
                "DELETE FROM alarms WHERE number <= (SELECT MAX(number) FROM alarms) - ? "
                "AND number NOT IN (SELECT number FROM waiting)",
                (ALARMS_KEPT,),
            )
        return fresh

    def _owe(self, path: str, alarm: Alarm) -> None:
        if self.owed_count(path) < MOST_WAITING:
            self._do(
                "INSERT OR IGNORE INTO waiting (path, number) SELECT ?, number FROM alarms "
                "WHERE id = ?",
                (path, alarm.id),
            )
            return
        newest = self._all("SELECT MAX(number) FROM waiting WHERE path = ?", (path,))[0][0]
        about = f"{path} after {newest}"
        words = f"over {MOST_WAITING} alarms wait for {path}: see  fieldpost monitor alarms"
        text = Alarm(kind="too-many", board=alarm.board, text=words, at=alarm.at, about=about)
        if (
            alarm.kind != "too-many"
            and self._all(
                "SELECT 1 FROM waiting JOIN alarms USING (number) WHERE path = ? "
                "AND json_extract(value, '$.kind') = 'too-many'",
                (path,),
            )
            == []
            and self._keep(text)
        ):
            self._do(
                "INSERT INTO waiting (path, number) SELECT ?, number FROM alarms WHERE id = ?",
                (path, text.id),
            )

    def owed_count(self, path: str) -> int:
        """How many alarms a path owes."""
        rows = self._all("SELECT COUNT(*) FROM waiting WHERE path = ?", (path,))
        return int(str(rows[0][0]))

    def owed(self, path: str, now: int, most: int) -> list[Owed]:
        """What a path owes and is due, oldest first."""
        rows = self._all(
            "SELECT number, value, refused FROM waiting JOIN alarms USING (number) "
            "WHERE path = ? AND due <= ? ORDER BY number LIMIT ?",
            (path, now, most),
        )
        return [Owed(int(str(n)), read_alarm(str(value)), int(str(r))) for n, value, r in rows]

    def delivered(self, path: str, numbers: Iterable[int]) -> None:
        """A path took these."""
        with self.transaction():
            for number in numbers:
                self._do("DELETE FROM waiting WHERE path = ? AND number = ?", (path, number))

    def put_off(self, path: str, number: int, due: int) -> None:
        """A path refused this one: not before `due` again; the others may go."""
        self._do(
            "UPDATE waiting SET due = ?, refused = refused + 1 WHERE path = ? AND number = ?",
            (due, path, number),
        )

    def forget_paths(self, known: Sequence[str]) -> list[str]:
        """Owe nothing to paths that are configured no more; their names. Alarms stay kept."""
        gone = [
            str(path)
            for (path,) in self._all("SELECT DISTINCT path FROM waiting")
            if path not in known
        ]
        for path in gone:
            self._do("DELETE FROM waiting WHERE path = ?", (path,))
        return gone

    def alarms(self, *, after: int = 0, most: int = 1_000) -> list[tuple[int, Alarm]]:
        """Kept alarms with their numbers, oldest first."""
        rows = self._all(
            "SELECT number, value FROM alarms WHERE number > ? ORDER BY number LIMIT ?",
            (after, most),
        )
        return [(int(str(number)), read_alarm(str(value))) for number, value in rows]

    # --- conditions ---

    def conditions(self) -> dict[str, int]:
        """What lasts, and since when (Unix seconds); what may become a condition included."""
        rows = self._all("SELECT name, since FROM conditions")
        return {str(name): int(str(since)) for name, since in rows}

    def begin(self, name: str, since: int) -> None:
        """A condition begins."""
        self._do("INSERT OR IGNORE INTO conditions VALUES (?, ?)", (name, since))

    def end(self, name: str) -> None:
        """A condition is over."""
        self._do("DELETE FROM conditions WHERE name = ?", (name,))


def _write_watched(watched: Watched) -> str:
    first = watched.first
    return json.dumps(
        {
            "since": watched.since,
            "name": watched.name,
            "epoch": watched.epoch,
            "roles": {kid.hex(): role for kid, role in watched.roles.items()},
            "first": None if first is None else sorted(kid.hex() for kid in first),
        }
    )


def _read_watched(text: str) -> Watched:
    value = json.loads(text)
    first = value["first"]
    watched = Watched(since=value["since"], name=value["name"], epoch=value["epoch"])
    return replace(
        watched,
        roles={bytes.fromhex(kid): role for kid, role in value["roles"].items()},
        first=None if first is None else frozenset(map(bytes.fromhex, first)),
    )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(f"monitor.db: {error}") from error
