# SPDX-License-Identifier: Apache-2.0
"""The versions of fleet.db: what each added, and how a file of any older one becomes today's.

What devices reported is nowhere else, so this file is never made anew: it moves forward, one step
after the other, each in one transaction with its number. A file from before there were numbers is
version 1. A newer file than this program knows is refused, and stays as it is.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fieldpost import __version__
from fieldpost.errors import Misconfigured

_FIRST: Final = """
CREATE TABLE IF NOT EXISTS lots (
  lot BLOB PRIMARY KEY, class BLOB NOT NULL, count INTEGER NOT NULL, root BLOB NOT NULL,
  entry INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS lots_of_class ON lots (class);
CREATE TABLE IF NOT EXISTS leaves (
  lot BLOB NOT NULL, idx INTEGER NOT NULL, leaf BLOB NOT NULL, PRIMARY KEY (lot, idx)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS devices (
  device BLOB PRIMARY KEY, lot BLOB NOT NULL, idx INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS again (
  device BLOB NOT NULL, lot BLOB NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (device, lot, idx)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clones (
  device BLOB PRIMARY KEY, reason TEXT NOT NULL, received INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
  device BLOB PRIMARY KEY, class BLOB NOT NULL, boot INTEGER NOT NULL, counter INTEGER NOT NULL,
  outcome TEXT NOT NULL, running INTEGER, received INTEGER NOT NULL, report BLOB NOT NULL,
  past BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_of_class ON seen (class, outcome);
CREATE TABLE IF NOT EXISTS results (
  class BLOB NOT NULL, sequence INTEGER NOT NULL, device BLOB NOT NULL, outcome TEXT NOT NULL,
  PRIMARY KEY (class, sequence, device)
) WITHOUT ROWID;
"""
# `about` says which program wrote the file last, so that an older one can name it.
_ABOUT: Final = """
CREATE TABLE about (one INTEGER PRIMARY KEY CHECK (one = 1), program TEXT NOT NULL);
INSERT INTO about VALUES (1, '');
"""
# AUTOINCREMENT: a number is never given twice, whatever was deleted by hand.
_ENDS: Final = """
CREATE TABLE ends (
  number INTEGER PRIMARY KEY AUTOINCREMENT, device BLOB NOT NULL, class BLOB NOT NULL,
  sequence INTEGER NOT NULL, outcome TEXT NOT NULL, received INTEGER NOT NULL,
  report BLOB NOT NULL, UNIQUE (device, class, sequence, outcome)
);
CREATE INDEX ends_of_class ON ends (class, received, number);
"""
# Heads of the log that devices verified, for whoever compares them with the log that he sees.
_HEADS: Final = """
CREATE TABLE heads (
  number INTEGER PRIMARY KEY AUTOINCREMENT, size INTEGER NOT NULL, root BLOB NOT NULL,
  timestamp INTEGER NOT NULL, device BLOB NOT NULL, received INTEGER NOT NULL,
  cosignatures BLOB NOT NULL, UNIQUE (size, root)
);
CREATE INDEX heads_of_device ON heads (device);
"""
# Evidence that devices sent: two heads that exclude each other.
_EVIDENCE: Final = """
CREATE TABLE evidence (
  number INTEGER PRIMARY KEY AUTOINCREMENT, heads BLOB NOT NULL UNIQUE, received INTEGER NOT NULL,
  data BLOB NOT NULL
);
"""
# The size of the head that a newest report names, so that the next one is compared without reading
# it again. Rows of before say nothing of it: for those it is read.
_SIZE: Final = """
ALTER TABLE seen ADD COLUMN size INTEGER;
"""
_NAMED_SINCE: Final = 2
# The n-th script leads to version n. A step that was released is never changed again.
STEPS: Final = (_FIRST, _ABOUT, _ENDS, _HEADS, _EVIDENCE, _SIZE)


def migrate(
    connection: sqlite3.Connection,
    path: Path,
    *,
    steps: Sequence[str] = STEPS,
    program: str = __version__,
) -> None:
    """Bring the file to the newest version. `connection` is in autocommit mode.

    Raises Misconfigured for a newer file, with the program that wrote it; sqlite3.Error, and then
    the file is at the last version that was reached.
    """
    found = _version(connection)
    if found > len(steps):
        raise Misconfigured(
            f"{path} is of version {found}, this program knows {len(steps)}: use fieldpost "
            f"{_writer(connection)} or later with this data; nothing was changed"
        )
    for number, script in enumerate(steps[found:], found + 1):
        _step(connection, script, number, program)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _writer(connection: sqlite3.Connection) -> str:
    try:
        return str(connection.execute("SELECT program FROM about").fetchone()[0])
    except (sqlite3.Error, TypeError):
        return "of the version that wrote it"


def _step(connection: sqlite3.Connection, script: str, number: int, program: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Not `executescript`, which would commit before it begins.
        for statement in _statements(script):
            connection.execute(statement)
        if number >= _NAMED_SINCE:
            connection.execute("UPDATE about SET program = ?", (program,))
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    parts = [part.strip() for part in script.split(";\n")]
    return [part for part in parts if part]
