# SPDX-License-Identifier: Apache-2.0
"""`board fsck` where a file cannot be read: what the disk lost is named, the rest goes on.

Reading /proc/self/mem at its beginning is an input/output error on every Linux, so a link to it
stands for a file on a bad sector.
"""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fieldpost.database import is_damage
from fieldpost.durable import write_file
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.errors import NotFound, Unavailable
from fieldpost.store.blob_copy import check_file
from fieldpost.watch.fsck import check_folder
from fieldpost.watch.fsck_report import Report
from tests.crash.rights import SOMEBODY, bound_by_modes
from tests.unit.cli.cli_world import cli_world
from tests.unit.engines.mirrored_boards import damage, enrol, written
from tests.unit.watch.test_fsck import reader, silent


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stopped node with a release."""
    root = tmp_path_factory.mktemp("world")
    with cli_world(root) as world:
        world.with_maker()
        world.publish("1.0")
        world.call("release", "list", "bulb:r1")
    return root / "node"


@pytest.fixture
def data(stopped: Path, tmp_path: Path) -> Path:
    return shutil.copytree(stopped, tmp_path / "data")


def lose(path: Path) -> Path:
    """Put the file on a bad sector."""
    path.unlink()
    path.symlink_to("/proc/self/mem")
    return path


def first(folder: Path) -> Path:
    return min(path for path in folder.rglob("*") if path.is_file())


def oldest(data: Path) -> Path:
    """A bundle of a size that was outgrown."""
    parts = data / "log" / "tile" / "entries" / "000.p"
    return min(parts.iterdir(), key=lambda path: int(path.name))


def checked(data: Path) -> Report:
    return check_folder(data, reader(data / "log"), progress=silent)


def damaged(data: Path) -> dict[str, str]:
    return {one.file: one.what for one in checked(data).damaged}


def test_every_file_on_a_bad_sector_is_named_and_ends_nothing(data: Path) -> None:
    lost = [
        lose(first(data / "blobs" / "sha256")),
        lose(first(data / "blobs" / "manifests")),
        lose(oldest(data)),
        lose(data / "keys" / "largest-signed"),
        lose(data / "keys" / "cosigner.pem"),
    ]
    found = damaged(data)
    assert found.keys() == {str(path) for path in lost}
    assert all("Input/output error" in what for what in found.values())


def test_they_are_named_too_where_the_log_itself_is_damaged(data: Path) -> None:
    lost = [lose(first(data / "blobs" / "sha256")), lose(data / "keys" / "largest-signed")]
    damage(data / "log" / "checkpoint", 50)
    assert damaged(data).keys() == {*map(str, lost), str(data / "log" / "checkpoint")}


@pytest.mark.parametrize("how", ["lost", "cut off"])
def test_an_end_of_the_log_that_cannot_be_read_is_named_and_nothing_is_judged_by_its_lack(
    tmp_path: Path, how: str
) -> None:
    """state.db, the mark and the tile beside it know of that batch, and are whole."""
    board = written(tmp_path / "data", lots=1)
    note = (board.data / "log" / "checkpoint").read_bytes()
    enrol(board, 1)
    write_file(board.data / "log" / "checkpoint", note)
    end = board.data / "log" / "tile" / "entries" / "000.p" / "10"
    if how == "lost":
        lose(end)
    else:
        write_file(end, end.read_bytes()[:-9])
    report = checked(board.data)
    assert [(one.file, one.advice[:13]) for one in report.damaged] == [(str(end), "copy it again")]
    unchecked = {one.what for one in report.unchecked}
    assert unchecked >= {"what is in state.db", "keys", "older and unpublished files below log"}
    assert SignedMark(board.data / "keys").size == 10


def test_an_end_of_the_log_against_the_rules_is_named(tmp_path: Path) -> None:
    board = written(tmp_path / "data", lots=1)
    note = (board.data / "log" / "checkpoint").read_bytes()
    enrol(board, 1)
    write_file(board.data / "log" / "checkpoint", note)
    end = board.data / "log" / "tile" / "entries" / "000.p" / "10"
    damage(end, -1)  # the root in the state leaf
    (found,) = checked(board.data).damaged
    assert found.file == str(end)
    assert "against the rules" in found.what


def test_files_that_this_user_may_not_read_are_told_and_are_no_damage(data: Path) -> None:
    hidden = [
        first(data / "blobs" / "sha256"),
        first(data / "blobs" / "manifests"),
        oldest(data),
        data / "keys" / "largest-signed",
        data / "keys" / "log.pem",
        data / "catalog.db",
    ]
    for path in hidden:
        path.chmod(0o600)
        os.chown(path, SOMEBODY, SOMEBODY)
    with bound_by_modes():
        report = checked(data)
    assert report.damaged == ()
    told = {one.what: one.why for one in report.unchecked}
    assert told.keys() >= {*map(str, hidden[:-1]), "what is in catalog.db"}
    assert "run this as a user who may" in told[str(hidden[0])]


def test_a_folder_that_this_user_may_not_list_is_told(data: Path) -> None:
    folder = data / "blobs" / "manifests"
    folder.chmod(0o700)
    os.chown(folder, SOMEBODY, SOMEBODY)
    with bound_by_modes():
        report = checked(data)
    assert report.damaged == ()
    assert str(folder) in {one.what for one in report.unchecked}


def test_a_blob_that_was_removed_meanwhile_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        check_file(tmp_path, tmp_path / "sha256" / "ab")
    (tmp_path / "ab").symlink_to("/proc/self/mem")
    with pytest.raises(Unavailable, match="Input/output"):
        check_file(tmp_path, tmp_path / "ab")


def test_a_database_that_is_taken_or_cannot_be_opened_is_not_called_damaged(tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as one,
        closing(sqlite3.connect(tmp_path / "db", timeout=0)) as other,
    ):
        one.execute("CREATE TABLE t (a)")
        one.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked") as taken:
            other.execute("SELECT * FROM t")
    assert not is_damage(taken.value)
    with pytest.raises(sqlite3.OperationalError, match="unable to open") as absent:
        sqlite3.connect(f"{(tmp_path / 'none').as_uri()}?mode=rw", uri=True)
    assert not is_damage(absent.value)
    (tmp_path / "text").write_bytes(b"no database" * 100)
    with (
        closing(sqlite3.connect(tmp_path / "text")) as text,
        pytest.raises(sqlite3.DatabaseError, match="not a database") as broken,
    ):
        text.execute("SELECT * FROM t")
    assert is_damage(broken.value)
