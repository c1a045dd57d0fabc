# SPDX-License-Identifier: Apache-2.0
"""`board fsck` and what a disk can hold in the place of a node's files, or refuse to show."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fieldpost.cli.main import fieldpost
from fieldpost.durable import DiskFull
from fieldpost.errors import Malformed, Unavailable
from fieldpost.store.blob_copy import copy_blobs
from fieldpost.store.log_leftovers import read_end
from fieldpost.store.read_faults import NO_FILE
from fieldpost.store.sqlite_copy import check_pages
from fieldpost.watch import fsck_first_look
from fieldpost.watch.fsck_room import room_in, scratch_folder
from tests.crash.rights import SOMEBODY, bound_by_modes
from tests.unit.cli.cli_world import cli_world


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


def said(data: Path) -> dict[str, Any]:
    """What the command says of a folder, as JSON."""
    result = CliRunner().invoke(fieldpost, ["board", "fsck", str(data), "--json"])
    assert result.exit_code in (0, 3), result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def damaged(data: Path) -> dict[str, str]:
    rows = said(data)["damaged"]
    assert len({row["file"] for row in rows}) == len(rows)
    return {row["file"]: row["what"] for row in rows}


def unchecked(data: Path) -> dict[str, str]:
    found = said(data)
    assert found["damaged"] == []
    return {row["what"]: row["why"] for row in found["not_checked"]}


def first(folder: Path) -> Path:
    return min(path for path in folder.rglob("*") if path.is_file())


def newest(data: Path, kind: str) -> Path:
    parts = data / "log" / "tile" / kind / "000.p"
    return max(parts.iterdir(), key=lambda path: int(path.name))


def test_the_names_of_folders_above_say_nothing_of_a_blob(stopped: Path, tmp_path: Path) -> None:
    data = shutil.copytree(stopped, tmp_path / "manifests" / "data")
    assert damaged(data) == {}
    assert copy_blobs(data / "blobs", tmp_path / "copy") == []
    for kind in ("sha256", "manifests"):
        names = [path.name for path in (data / "blobs" / kind).rglob("*") if path.is_file()]
        copied = [path.name for path in (tmp_path / "copy" / kind).rglob("*") if path.is_file()]
        assert sorted(names) == sorted(copied) != []


def places(data: Path) -> dict[str, Path]:
    return {
        "blob": first(data / "blobs" / "sha256"),
        "manifest": first(data / "blobs" / "manifests"),
        "older tile": data / "log" / "tile" / "0" / "000.p" / "1",
        "signed tile": newest(data, "0"),
        "signed bundle": newest(data, "entries"),
        "checkpoint": data / "log" / "checkpoint",
        "beyond the log": data / "log" / "tile" / "0" / "009",
        "key": data / "keys" / "log.pem",
        "mark": data / "keys" / "largest-signed",
        "retired key": data / "keys" / "retired" / "log.0.pem",
        "state.db": data / "state.db",
        "fleet.db": data / "fleet.db",
    }


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)])
@pytest.mark.parametrize(
    "place",
    [
        "blob",
        "manifest",
        "older tile",
        "signed tile",
        "signed bundle",
        "checkpoint",
        "beyond the log",
        "key",
        "mark",
        "retired key",
        "state.db",
        "fleet.db",
    ],
)
def test_what_is_no_file_is_named_and_holds_nothing_up(
    data: Path, place: str, put: Callable[[Path], None]
) -> None:
    path = places(data)[place]
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    put(path)
    found = damaged(data)
    assert found.keys() == {str(path)}
    assert NO_FILE in found[str(path)]


@pytest.mark.parametrize("place", ["manifest", "signed tile", "signed bundle"])
def test_a_file_longer_than_any_of_its_kind_is_named_and_not_read(data: Path, place: str) -> None:
    path = places(data)[place]
    os.truncate(path, 2**40)  # nobody has the memory for it
    found = damaged(data)
    assert found.keys() == {str(path)}
    assert "no file of its kind more than" in found[str(path)]


@pytest.mark.parametrize("folder", ["keys/retired", "blobs/sha256"])
def test_a_folder_that_this_user_may_not_enter_ends_no_check(data: Path, folder: str) -> None:
    (data / folder).mkdir(exist_ok=True)
    (data / folder).chmod(0o700)
    os.chown(data / folder, SOMEBODY, SOMEBODY)
    with bound_by_modes():
        assert str(data / folder) in unchecked(data)


def test_a_blob_of_which_nothing_can_be_known_is_told(data: Path) -> None:
    folder = first(data / "blobs" / "sha256").parent
    folder.chmod(0o744)  # its names may be listed
    os.chown(folder, SOMEBODY, SOMEBODY)
    with bound_by_modes():
        assert str(first_named(folder)) in unchecked(data)


def first_named(folder: Path) -> Path:
    return folder / min(os.listdir(folder))  # noqa: PTH208 - a glob would look at it


def test_an_end_that_may_not_be_listed_is_unread(data: Path) -> None:
    parts = data / "log" / "tile" / "entries" / "000.p"
    parts.chmod(0o700)
    os.chown(parts, SOMEBODY, SOMEBODY)
    with bound_by_modes():
        end = read_end(data / "log", 1)
    assert [(path, type(error)) for path, error in end.unread] == [(parts, Unavailable)]


def test_a_database_on_a_bad_sector_is_named_where_it_cannot_even_be_opened(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(sqlite3.OperationalError) as unopened:
        sqlite3.connect(f"{(data / 'none').as_uri()}?mode=rw", uri=True)

    def copy(path: Path, _target: Path) -> None:
        raise Unavailable(f"cannot copy {path}") from unopened.value

    monkeypatch.setattr(fsck_first_look, "copy_database", copy)
    assert "what is in catalog.db" in unchecked(data)
    error = OSError(5, "Input/output error")
    monkeypatch.setattr(fsck_first_look, "_why_not_opened", lambda _path: error)
    assert {Path(file).name for file in damaged(data)} >= {"state.db", "catalog.db"}


def test_copies_are_made_in_tmpdir_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Unavailable, match="set TMPDIR"):
        scratch_folder("audit-")
    assert not [*tmp_path.iterdir()]
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with scratch_folder("audit-") as made:
        assert Path(made).parent == tmp_path


@pytest.mark.parametrize(
    "change", ["PRAGMA user_version = 0", "PRAGMA user_version = 2", "DELETE FROM followed", None]
)
def test_a_catalog_that_its_node_fills_anew_is_not_damaged(data: Path, change: str | None) -> None:
    path = data / "catalog.db"
    if change is None:
        path.write_bytes(b"")
    else:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(change)
    assert "the node fills it anew" in unchecked(data)["what is in catalog.db"]


@pytest.mark.parametrize(
    ("version", "why"), [(99, "this program knows"), (1, "the next start makes it anew")]
)
def test_a_state_db_of_another_program_is_not_damaged(data: Path, version: int, why: str) -> None:
    with closing(sqlite3.connect(data / "state.db", isolation_level=None)) as db:
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("DROP TABLE log")
    assert why in unchecked(data)["what is in state.db"]


def test_pages_that_cannot_be_asked_for_are_no_damage(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot check"):
        check_pages(tmp_path)
    (tmp_path / "text").write_bytes(b"no database" * 100)
    with pytest.raises(Malformed):
        check_pages(tmp_path / "text")


def test_room_is_tried_only_after_a_failed_write(tmp_path: Path) -> None:
    """A disk without room says nothing of a lock, or of a right."""
    with (
        closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as one,
        closing(sqlite3.connect(tmp_path / "db", timeout=0)) as other,
    ):
        one.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked") as taken:
            other.execute("SELECT * FROM sqlite_master")
    # There is no folder to try it in.
    with pytest.raises(Unavailable, match="the lock") as told, room_in(tmp_path / "none", 1):
        raise Unavailable("the lock") from taken.value
    assert not isinstance(told.value, DiskFull)
