# SPDX-License-Identifier: Apache-2.0
"""state.db can be made anew from the log, and a file of another version is, by itself."""

import logging
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fieldpost.engines.board_files import log_directory
from fieldpost.engines.exclusive import DirectoryLock
from fieldpost.engines.rebuild import rebuild_board
from fieldpost.engines.recovery import open_board
from fieldpost.errors import Misconfigured
from fieldpost.store.state_db import STATE_DB_VERSION, StateDb
from fieldpost.testing.boards import BoardOnDisk


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    """A board with a maker and a class, closed, and published."""
    made = BoardOnDisk(tmp_path / "data")
    writer = made.open()
    made.write(writer, made.maker.registration())
    made.write(writer, made.maker.class_set())
    writer.close()
    return made


def items(board: BoardOnDisk) -> list[tuple[bytes, bytes]]:
    db = StateDb(board.data / "state.db")
    found = db.items()
    db.close()
    return found


def make_version(board: BoardOnDisk, version: int, *, size: int | None = None) -> None:
    with closing(sqlite3.connect(board.data / "state.db", isolation_level=None)) as db:
        db.execute(f"PRAGMA user_version = {version}")
        if size is not None:
            db.execute("UPDATE log SET size = ?", (size,))


def test_a_state_database_of_another_version_is_set_aside_and_built_anew(
    board: BoardOnDisk, caplog: pytest.LogCaptureFixture
) -> None:
    before = items(board)
    make_version(board, STATE_DB_VERSION + 1)
    board.open().close()
    assert items(board) == before
    assert "state-db-set-aside" in caplog.text
    aside = board.data / "state.db.aside"
    with closing(sqlite3.connect(aside)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (STATE_DB_VERSION + 1,)


def test_a_database_of_the_version_before_is_used_as_it_is(
    board: BoardOnDisk, caplog: pytest.LogCaptureFixture
) -> None:
    """Version 3, which the first boards have: no minutes of applying the log again."""
    before = items(board)
    path = board.data / "state.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        tables = db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        db.execute("DROP TABLE later")
        db.execute("PRAGMA user_version = 3")
    told: list[tuple[int, int]] = []
    open_board(board.data, watch=lambda *now: told.append(now)).close()
    assert told == []
    assert items(board) == before
    assert "state-db-set-aside" not in caplog.text
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (STATE_DB_VERSION,)
        assert tables == db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_a_wrong_database_of_the_version_before_is_refused_as_any_wrong_one_is(
    board: BoardOnDisk,
) -> None:
    with closing(sqlite3.connect(board.data / "state.db", isolation_level=None)) as db:
        db.execute("DROP TABLE later")
        db.execute("PRAGMA user_version = 3")
        db.execute("UPDATE state SET value = x'00'")
    with pytest.raises(Misconfigured, match="does not hash to the log's state"):
        board.open()


def test_a_database_of_another_version_that_knows_more_than_the_log_is_kept(
    board: BoardOnDisk,
) -> None:
    make_version(board, STATE_DB_VERSION + 1, size=99)
    for open_it in (board.open, lambda: rebuild_board(board.data)):
        with pytest.raises(Misconfigured, match=r"knows 99 entries.*lost its end"):
            open_it()
    assert not (board.data / "state.db.aside").exists()


@pytest.mark.parametrize("damage", ["none", "garbage", "absent", "wrong value"])
def test_a_rebuild_gives_what_was_there_before_the_damage(board: BoardOnDisk, damage: str) -> None:
    before = items(board)
    path = board.data / "state.db"
    match damage:
        case "garbage":
            path.write_bytes(b"rubbish" * 999)
        case "absent":
            path.unlink()
        case "wrong value":
            with closing(sqlite3.connect(path, isolation_level=None)) as db:
                db.execute("UPDATE state SET value = x'00'")
    if damage in ("garbage", "wrong value"):
        with pytest.raises(Misconfigured, match="fieldpost node rebuild"):
            board.open()
    told: list[tuple[int, int]] = []
    assert rebuild_board(board.data, watch=lambda *now: told.append(now)) == (6, len(before))
    assert items(board) == before
    assert told == [(6, 6)]


def test_a_rebuild_refuses_a_damaged_log_and_says_who_names_the_file(board: BoardOnDisk) -> None:
    bundle = log_directory(board.data) / "tile" / "entries" / "000.p" / "6"
    data = bytearray(bundle.read_bytes())
    data[-40] ^= 1
    bundle.write_bytes(data)
    with pytest.raises(Misconfigured, match="Copy the log directory again"):
        rebuild_board(board.data)


def test_a_folder_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="holds no board: name a node's data folder"):
        rebuild_board(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_rebuild_waits_for_no_running_node(board: BoardOnDisk) -> None:
    lock = DirectoryLock(board.data)
    with pytest.raises(Misconfigured, match="in use by another node process"):
        rebuild_board(board.data)
    lock.release()


def test_a_long_rebuild_says_how_far_it_is(
    board: BoardOnDisk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fieldpost.engines.recovery._WORD_S", 0.0)
    with caplog.at_level(logging.WARNING):
        rebuild_board(board.data)
    assert "rebuilding done=6 total=6" in caplog.text


def test_many_batches_in_one_transaction_leave_what_single_ones_do(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    def dump(path: Path) -> list[str]:
        with closing(sqlite3.connect(path)) as db:
            return [line for line in db.iterdump() if "replaced" not in line]

    shutil.copy(board.data / "state.db", tmp_path / "single.db")
    rebuild_board(board.data)
    assert dump(board.data / "state.db") == dump(tmp_path / "single.db")
