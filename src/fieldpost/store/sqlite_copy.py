# SPDX-License-Identifier: Apache-2.0
"""A copy of a SQLite file that others are writing: one transaction's state, whole and durable."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from fieldpost.database import is_damage, is_full
from fieldpost.durable import OS, Disk, DiskFull, publish, remove
from fieldpost.errors import Malformed, Unavailable

_PAGES: Final = 4_096


def copy_database(source: Path, target: Path, *, disk: Disk = OS) -> None:
    """Put a copy of the database `source` in the place of `target`.

    Writers are not held up, and what they write meanwhile is not in the copy. Raises Unavailable,
    DiskFull where there is no room for the copy.
    """
    temporary = target.with_name(f".{target.name}.copy")
    remove(temporary, disk=disk)
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as here,
            closing(sqlite3.connect(temporary, isolation_level=None)) as there,
        ):
            # A reader's transaction holds still what is copied, however long that takes.
            here.execute("BEGIN")
            here.execute("SELECT count(*) FROM sqlite_master").fetchone()
            here.backup(there, pages=_PAGES)
            # Without a journal beside it the copy is one file; whoever opens it makes its own.
            there.execute("PRAGMA journal_mode = DELETE")
    except (sqlite3.Error, UnicodeDecodeError) as error:
        remove(temporary, disk=disk)
        full = isinstance(error, sqlite3.Error) and is_full(error)
        family = DiskFull if full else Unavailable
        raise family(f"cannot copy {source} to {target}: {error}") from error
    publish(temporary, target, disk=disk)


def check_pages(path: Path) -> None:
    """What SQLite can say of a database without knowing what belongs in it.

    Raises Malformed; Unavailable where it cannot be asked, DiskFull for want of room.
    """
    try:
        with closing(sqlite3.connect(path)) as db:
            (said,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if not is_damage(error):
            family = DiskFull if is_full(error) else Unavailable
            raise family(f"cannot check {path}: {error}") from error
        raise Malformed(f"SQLite cannot read it: {error}") from error
    if said != "ok":
        raise Malformed(f"SQLite finds it damaged: {said}")
