# SPDX-License-Identifier: Apache-2.0
"""SQLite files of which a commit that returned survives a power cut.

WAL with synchronous=FULL: the write-ahead log is fsynced before COMMIT returns. SQLite takes both
as wishes, which a file system may not be able to grant, so they are asked for again.
"""

import sqlite3
from pathlib import Path
from typing import Final

from fieldpost.errors import Misconfigured

FULL: Final = 2
# Writes of a busy board go all over its tables. With SQLite's own 2 MB pages are read from the file
# again that were written a moment ago: at 200,000 keys a quarter of the time of a commit.
_MOST_CACHED_KIB: Final = 32_768
# The second: the index of the write-ahead log, which is made at opening, could not be made longer.
_FULL: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
_UNREADABLE: Final = (
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
)
# They say nothing of what the file holds; all other failures of a disk among them are of writes.
_OF_THE_MOMENT: Final = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
)


def connect(path: Path, *, timeout_s: float = 10.0) -> sqlite3.Connection:
    """Open or make the database at `path`, in autocommit, for any one thread at a time.

    Raises sqlite3.Error, which the caller explains, also where it could only be read; Misconfigured
    where the file system cannot do what it takes.
    """
    connection = sqlite3.connect(
        path, check_same_thread=False, isolation_level=None, timeout=timeout_s
    )
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_MOST_CACHED_KIB}")
        check_durable(connection, mode, path)
        # A file that could not be opened for writing just now SQLite opens for reading, and leaves
        # it at that. What is taken back writes nothing.
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise
    return connection


def is_full(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    """Whether there was no room. A quota that is used up looks like any other failed write."""
    # Errors of Python's own module have no code.
    return getattr(error, "sqlite_errorcode", None) in _FULL


def is_damage(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    """Whether it speaks of what a file holds, and not of locks, rights, room or a failed write."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        # Python's own: a text that is none, a value of a kind that nobody stores there.
        return True
    return code in _UNREADABLE or code & 0xFF not in _OF_THE_MOMENT


def check_durable(connection: sqlite3.Connection, mode: str, path: Path) -> None:
    """Check what the connection really does. Raises Misconfigured."""
    synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
    if (mode, synchronous) != ("wal", FULL):
        raise Misconfigured(
            f"{path}: SQLite cannot write durably here (journal {mode}, synchronous "
            f"{synchronous}); put the data directory on a local file system"
        )
