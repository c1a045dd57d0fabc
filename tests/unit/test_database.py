# SPDX-License-Identifier: Apache-2.0
"""Every database that a node writes waits for its commits, and says so on the open connection."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fieldpost.database import FULL, check_durable, connect
from fieldpost.engines.recovery import open_board
from fieldpost.errors import Misconfigured
from fieldpost.fleet.database import FleetDb
from fieldpost.node.catalog import Catalog
from fieldpost.testing.boards import BoardOnDisk


def settings(connection: sqlite3.Connection) -> tuple[str, int]:
    """(journal mode, synchronous) of a live connection."""
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    return mode, connection.execute("PRAGMA synchronous").fetchone()[0]


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[dict[str, sqlite3.Connection]]:
    """The live connections to every database of a node."""
    board = BoardOnDisk(tmp_path / "data")
    writer = open_board(board.data)
    fleet = FleetDb(tmp_path / "fleet.db")
    catalog = Catalog(tmp_path / "catalog.db", lambda *_: [], board="board", size=0)
    yield {
        "state": writer.db._db,
        "fleet, writing": fleet._writer,
        "fleet, reading": fleet._reader,
        "catalog": catalog._connection,
    }
    catalog.close()
    fleet.close()
    writer.close()


def test_every_database_of_a_node_is_in_wal_mode_with_full_synchronous(
    connections: dict[str, sqlite3.Connection],
) -> None:
    found = {name: settings(connection) for name, connection in connections.items()}
    assert found == dict.fromkeys(connections, ("wal", FULL))


def test_a_connection_that_does_not_wait_is_refused(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "a.db")) as connection:
        connection.execute("PRAGMA synchronous = NORMAL")
        with pytest.raises(Misconfigured, match="local file system"):
            check_durable(connection, "wal", tmp_path / "a.db")


def test_a_database_in_memory_cannot_promise_anything() -> None:
    with pytest.raises(Misconfigured, match="journal memory"):
        connect(Path(":memory:"))
