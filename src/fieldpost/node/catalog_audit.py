# SPDX-License-Identifier: Apache-2.0
"""Is catalog.db what the log makes of it? Compared with one that is filled anew."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from fieldpost.database import is_damage, is_full
from fieldpost.durable import DiskFull
from fieldpost.errors import Misconfigured, Unavailable
from fieldpost.node.catalog import CATALOG_VERSION, Catalog

_TABLES: Final = ("followed", "releases", "lots", "makers", "named")
_QUERIES: Final = (
    ("sqlite_master", "SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2"),
    # One row, or by their primary keys.
    *((table, f"SELECT * FROM {table}") for table in _TABLES),  # noqa: S608 - our own names
)


def wrong_catalog(path: Path, entries: Sequence[bytes], board: str, scratch: Path) -> Iterator[str]:
    """What is wrong in a copy of a catalog that nobody writes; `entries` is the whole log.

    Raises Misconfigured for one of another version, also none, as while it is being made: there
    is nothing to be judged then. Unavailable where `scratch` takes no other, DiskFull for want of
    room.
    """
    try:
        with closing(sqlite3.connect(path)) as found:
            checked = found.execute("PRAGMA integrity_check").fetchall()
            if checked != [("ok",)]:
                yield f"SQLite says: {checked[0][0]}"
                return
            version = found.execute("PRAGMA user_version").fetchone()[0]
            if version != CATALOG_VERSION:
                raise Misconfigured(
                    f"it is of version {version}, this program knows {CATALOG_VERSION}: the node "
                    "fills it anew when it starts"
                )
            row = found.execute("SELECT board, size FROM followed").fetchone()
            if row is None:
                raise Misconfigured("it follows no log: the node fills it anew when it starts")
            followed, size = row
            if followed != board or not 0 <= size <= len(entries):
                yield "it is of another board, or of a longer log"
                return
            made = _make(scratch / "catalog made anew.db", entries, board, size)
            with closing(sqlite3.connect(made)) as wanted:
                for table, query in _QUERIES:
                    if found.execute(query).fetchall() != wanted.execute(query).fetchall():
                        yield f"its table {table} is not what the log says"
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if not is_damage(error):
            family = DiskFull if is_full(error) else Unavailable
            raise family(f"cannot compare {path} with another: {error}") from error
        yield f"SQLite says: {error}"
    except (TypeError, ValueError) as error:
        yield f"SQLite says: {error}"


def _make(path: Path, entries: Sequence[bytes], board: str, size: int) -> Path:
    catalog = Catalog(path, lambda start, end: entries[start:end], board=board, size=size)
    try:
        catalog.sequences(bytes(16), size=size)  # whoever asks makes it follow
    finally:
        catalog.close()
    return path
