# SPDX-License-Identifier: Apache-2.0
"""fleet.db moves forward from any version, whole or not at all, and never backwards."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fieldpost.errors import Misconfigured
from fieldpost.fleet.database import FleetDb
from fieldpost.fleet.migrations import STEPS, migrate

LOT = bytes(16)
SEEN = "INSERT INTO seen VALUES (x'01', x'02', 3, 4, 'confirmed', 5, 6, x'07', x'80')"
CHANGE = "ALTER TABLE clones ADD COLUMN told INTEGER;\nUPDATE seen SET outcome = 'reverted';\n"


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        yield connection


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A file of the first version, from before versions were numbered, with a report in it."""
    path = tmp_path / "fleet.db"
    with connected(path) as connection:
        connection.executescript(STEPS[0] + SEEN)
        assert version(connection) == 0
    return path


def test_a_file_of_the_first_version_keeps_its_reports(first: Path) -> None:
    db = FleetDb(first)
    seen = db.find_seen(b"\x01")
    assert seen is not None
    assert (seen.outcome, seen.running, seen.report) == ("confirmed", 5, b"\x07")
    db.close()
    with connected(first) as connection:
        assert version(connection) == len(STEPS)


def test_a_new_file_and_a_moved_one_have_the_same_tables(first: Path, tmp_path: Path) -> None:
    def tables(path: Path) -> list[tuple[str, str]]:
        FleetDb(path).close()
        with connected(path) as connection:
            rows = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name")
            return rows.fetchall()

    assert tables(first) == tables(tmp_path / "new.db")


def test_steps_are_taken_once_and_in_order(first: Path) -> None:
    steps = (*STEPS, CHANGE)
    with connected(first) as connection:
        for _ in range(2):  # CHANGE cannot be done twice
            migrate(connection, first, steps=steps, program="9.9")
        assert version(connection) == len(steps)
        assert connection.execute("SELECT outcome FROM seen").fetchall() == [("reverted",)]


def test_a_step_that_fails_in_the_middle_leaves_the_version_before_it(first: Path) -> None:
    torn = f"{CHANGE}DROP TABLE nowhere;\n"
    with connected(first) as connection:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrate(connection, first, steps=(*STEPS, torn))
        assert version(connection) == len(STEPS)
        assert connection.execute("SELECT outcome FROM seen").fetchall() == [("confirmed",)]
        migrate(connection, first, steps=(*STEPS, CHANGE))
        assert version(connection) == len(STEPS) + 1


def test_a_file_of_a_newer_program_is_refused_and_names_that_program(first: Path) -> None:
    with connected(first) as connection:
        migrate(connection, first, steps=(*STEPS, CHANGE), program="9.9")
    before = first.read_bytes()
    with pytest.raises(Misconfigured, match=r"fieldpost 9\.9 or later") as refused:
        FleetDb(first)
    assert str(first) in str(refused.value)
    assert first.read_bytes() == before


def test_a_file_that_is_damaged_is_named_with_what_to_do(tmp_path: Path) -> None:
    """To come again later would not help: a service manager must not try for ever."""
    path = tmp_path / "fleet.db"
    path.write_bytes(b"no database " * 400)
    with pytest.raises(Misconfigured, match=r"fleet\.db is damaged .*: put it back from a backup"):
        FleetDb(path)
