# SPDX-License-Identifier: Apache-2.0
"""What a witness must never forget, in SQLite: what it cosigned last for each origin.

    heads    origin, size, root, timestamp, epoch, link, note    one row an origin
    links    board, number, entry                                a board's chain, genesis first
    boards   url, board                                          what a URL showed the first time

WAL with synchronous=FULL: a commit that returned survives a power cut. Notes are read
from the disk when somebody asks, sizes and roots are kept in memory by the caller.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fieldpost.database import connect, is_full
from fieldpost.durable import DiskFull
from fieldpost.errors import Misconfigured, NotFound, Unavailable
from fieldpost.watch.witness.judging import BoardPlace, Cosigned

FILE_NAME: Final = "witness.db"
VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE heads (
  origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, timestamp INTEGER NOT NULL,
  epoch INTEGER, link BLOB, note BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE links (
  board TEXT NOT NULL, number INTEGER NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (board, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE boards (url TEXT PRIMARY KEY, board TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""


class WitnessDb:
    """The database of the witness in `data`, made if it is not there.

    Raises Unavailable where SQLite fails, Misconfigured for a file that a newer program wrote.
    """

    def __init__(self, data: Path) -> None:
        path = data / FILE_NAME
        with _explained():
            self._writer = connect(path)
            try:
                _prepare(self._writer, path)
                self._reader = connect(path)
            except BaseException:
                self._writer.close()
                raise
        self._reading = threading.Lock()
        self._writing = threading.Lock()

    def close(self) -> None:
        """Close both connections; call after the writing thread has ended."""
        with self._reading, self._writing, _explained():
            self._reader.close()
            self._writer.close()

    def load_heads(self) -> dict[str, Cosigned]:
        """Every origin's last checkpoint, without its note."""
        with _explained():
            rows = self._writer.execute(
                "SELECT origin, size, root, timestamp, epoch, link FROM heads"
            )
            return {origin: _cosigned(*rest) for origin, *rest in rows}

    def save_heads(self, heads: Mapping[str, tuple[Cosigned, bytes]]) -> None:
        """Replace heads and their notes. All are durable when this returns, or none is."""
        rows = [
            (
                origin,
                head.size,
                head.root,
                head.timestamp,
                head.place.epoch if head.place else None,
                head.place.link if head.place else None,
                note,
            )
            for origin, (head, note) in heads.items()
        ]
        with self._transaction():
            self._writer.executemany("INSERT OR REPLACE INTO heads VALUES (?,?,?,?,?,?,?)", rows)

    def load_note(self, origin: str) -> bytes:
        """The cosigned checkpoint of an origin. Raises NotFound."""
        with self._reading, _explained():
            query = "SELECT note FROM heads WHERE origin = ?"
            row = self._reader.execute(query, (origin,)).fetchone()
        if row is None:
            raise NotFound(f"nothing was cosigned for {origin}")
        return bytes(row[0])

    def load_links(self, board: str) -> list[bytes]:
        """The links of a board, in the order in which they came."""
        with _explained():
            query = "SELECT entry FROM links WHERE board = ? ORDER BY number"
            return [bytes(row[0]) for row in self._writer.execute(query, (board,))]

    def add_links(self, board: str, entries: Sequence[bytes]) -> None:
        """Append links of a board, durably."""
        with self._transaction():
            query = "SELECT count(*) FROM links WHERE board = ?"
            count = self._writer.execute(query, (board,)).fetchone()[0]
            rows = [(board, count + number, entry) for number, entry in enumerate(entries)]
            self._writer.executemany("INSERT INTO links VALUES (?,?,?)", rows)

    def load_board(self, url: str) -> str | None:
        """The id of the board that a URL showed the first time; None if it was never asked."""
        with _explained():
            query = "SELECT board FROM boards WHERE url = ?"
            row = self._writer.execute(query, (url,)).fetchone()
            return None if row is None else str(row[0])

    def save_board(self, url: str, board: str) -> None:
        """Hold a URL to a board, durably, unless it is held to one already."""
        with self._transaction():
            self._writer.execute("INSERT OR IGNORE INTO boards VALUES (?,?)", (url, board))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._writing, _explained():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise


def _cosigned(
    size: int, root: bytes, timestamp: int, epoch: int | None, link: bytes | None
) -> Cosigned:
    place = None if epoch is None or link is None else BoardPlace(epoch=epoch, link=bytes(link))
    return Cosigned(size=size, root=bytes(root), timestamp=timestamp, place=place)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = 1; COMMIT;")
    elif version != VERSION:
        raise Misconfigured(
            f"{path} was written by a newer fieldpost (version {version}): run that one"
        )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        family = DiskFull if is_full(error) else Unavailable
        raise family(f"the witness's database: {error}") from error
