# SPDX-License-Identifier: Apache-2.0
"""`board fsck` of a log that is shorter than what was signed, and of a mark that says nothing.

No advice may lose what is nowhere else, or lead to a second history.
"""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fieldpost.durable import write_file
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.engines.tail import catch_up
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.watch import fsck_folder
from fieldpost.watch.fsck import check_folder
from fieldpost.watch.fsck_report import Report
from fieldpost.watch.mirror_copy import BoardCopy
from tests.unit.cli.cli_world import cli_world
from tests.unit.cli.test_care import enrol as enrol_devices
from tests.unit.engines.mirrored_boards import damage, enrol, mirror, written
from tests.unit.watch.copied_boards import follow, note_of
from tests.unit.watch.test_fsck import reader, silent
from tests.unit.watch.test_fsck_running import Meanwhile
from tests.unit.watch.test_fsck_unread import lose

NOTHING = "remove nothing, and put back no older mark"
NO_OLDER = "put back no older one"


def checked(data: Path) -> Report:
    return check_folder(data, reader(data / "log"), progress=silent)


def advice(data: Path) -> dict[str, str]:
    """What to do, by the name of the file."""
    return {Path(one.file).name: one.advice for one in checked(data).damaged}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped node with releases, lots and a catalog, and an older log put back beneath them."""
    root = tmp_path_factory.mktemp("world")
    with cli_world(root) as world:
        world.with_maker()
        world.publish("1.0")
        shutil.copytree(world.data / "log", root / "older")
        enrol_devices(world)
        world.publish("1.1")
        world.call("release", "list", "bulb:r1")
    shutil.rmtree(root / "node" / "log")
    shutil.move(root / "older", root / "node" / "log")
    return root / "node"


@pytest.fixture
def data(short: Path, tmp_path: Path) -> Path:
    return shutil.copytree(short, tmp_path / "data")


def test_what_knows_of_a_lost_end_is_unchecked_and_only_the_mark_is_named(data: Path) -> None:
    report = checked(data)
    (found,) = report.damaged
    assert found.file == str(data / "keys" / "largest-signed")
    assert found.advice.startswith(NOTHING)
    unchecked = {one.what: one.why for one in report.unchecked}
    for name in ("state.db", "catalog.db", "fleet.db"):
        assert unchecked[f"what is in {name}"].endswith("the log lost its end")
    assert "who signed the manifests" in unchecked


def test_what_is_damaged_by_itself_is_named_all_the_same(data: Path) -> None:
    blob = min(path for path in (data / "blobs" / "sha256").rglob("*") if path.is_file())
    damage(blob)
    assert advice(data).keys() == {"largest-signed", blob.name}


@pytest.mark.parametrize("harm", [Path.unlink, damage, lose])
def test_without_a_mark_state_db_tells_that_the_end_is_lost(
    data: Path, harm: Callable[[Path], object]
) -> None:
    harm(data / "keys" / "largest-signed")
    found = advice(data)
    assert found.keys() == {"state.db", "largest-signed"}
    assert found["state.db"].startswith(NOTHING)
    assert found["largest-signed"].startswith(NO_OLDER)


def behind(tmp_path: Path, lots: int = 1) -> BoardOnDisk:
    """A board whose checkpoint is one batch behind its log."""
    board = written(tmp_path / "data", lots=lots)
    older = note_of(board.data)
    enrol(board, 1)
    write_file(board.data / "log" / "checkpoint", older)
    return board


@pytest.mark.parametrize("harm", [Path.unlink, damage])
def test_without_mark_and_state_db_nothing_beyond_the_end_is_to_be_removed(
    tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    board = behind(tmp_path)
    (board.data / "log" / "tile" / "entries" / "000.p" / "10").unlink()
    (board.data / "state.db").unlink()
    harm(board.data / "keys" / "largest-signed")
    found = advice(board.data)
    assert found["10"].startswith(NOTHING)
    assert found["largest-signed"].startswith(NO_OLDER)


def test_a_missing_mark_is_named_where_the_key_beside_it_signed(tmp_path: Path) -> None:
    board = written(tmp_path / "data", lots=1)
    (board.data / "keys" / "largest-signed").unlink()
    found = advice(board.data)
    assert found.keys() == {"largest-signed"}
    assert found["largest-signed"].startswith(NO_OLDER)
    # The copy of a board that another key signs has nothing to remember.
    other = written(tmp_path / "other")
    shutil.rmtree(board.data / "keys")
    shutil.copytree(other.data / "keys", board.data / "keys")
    (board.data / "keys" / "largest-signed").unlink()
    assert "largest-signed" not in advice(board.data)


def test_a_mark_that_is_gone_comes_back_from_mirrors_before_anything_is_signed(
    tmp_path: Path,
) -> None:
    """What docs/operations/lost-tail.md advises."""
    board = written(tmp_path / "data", lots=1)
    shutil.copytree(board.data, tmp_path / "older")
    enrol(board, 1)
    (tmp_path / "older" / "keys" / "largest-signed").unlink()
    write_file(tmp_path / "older" / "restored", b"")
    assert catch_up(tmp_path / "older", []).behind is not None
    assert catch_up(tmp_path / "older", [mirror(board.data)]).behind is None
    assert SignedMark(tmp_path / "older" / "keys").size == 10


def test_an_older_mark_is_no_proof_against_files_of_a_newer_checkpoint(tmp_path: Path) -> None:
    board = written(tmp_path / "data", lots=1)
    mark = (board.data / "keys" / "largest-signed").read_bytes()
    enrol(board, 1)
    write_file(board.data / "keys" / "largest-signed", mark, mode=0o600)
    last = [board.data / "log" / "tile" / kind / "000.p" / "10" for kind in ("0", "entries")]
    for path in last:
        damage(path)
    report = checked(board.data)
    assert {one.file for one in report.damaged} == {*map(str, last)}
    assert report.facts["entries"] == 10
    # A checkpoint that nobody signed is a lie, and what was signed is the measure.
    note = note_of(board.data)
    write_file(board.data / "log" / "checkpoint", note.replace(b"\n10\n", b"\n90\n", 1))
    assert advice(board.data).keys() == {"checkpoint"}


def test_a_tile_behind_the_checkpoint_that_cannot_be_read_is_not_simply_removed(
    tmp_path: Path,
) -> None:
    board = behind(tmp_path)
    lose(board.data / "log" / "tile" / "0" / "000.p" / "10")
    assert advice(board.data)["10"].startswith("check again")


def test_a_full_tile_that_cannot_be_read_is_copied_again(tmp_path: Path) -> None:
    """A node that runs writes it once."""
    board = behind(tmp_path, lots=124)
    assert board.state.size == 256
    lose(board.data / "log" / "tile" / "0" / "000")
    assert advice(board.data)["000"].startswith("copy it again")


@pytest.fixture
def ahead(tmp_path: Path) -> Path:
    """A mirror that has entries which nobody published."""
    board = written(tmp_path / "source", lots=1)
    older = note_of(board.data)
    follow(tmp_path / "copy", board.data)
    enrol(board, 1)
    follow(tmp_path / "copy", board.data)
    write_file(tmp_path / "copy" / "log" / "checkpoint", older)
    return tmp_path / "copy"


def take_back(data: Path) -> None:
    copy = BoardCopy(data)
    copy.cut()
    copy.close()


def test_a_mirror_that_takes_entries_back_meanwhile_has_no_damage(ahead: Path) -> None:
    check = Meanwhile(ahead, lambda: take_back(ahead), 2)
    report = check.check()
    assert check.is_done
    assert report.damaged == ()
    assert report.facts["entries"] == 8
    assert "what is in state.db" in {one.what for one in report.unchecked}


def test_where_the_file_is_not_looked_at_again_such_a_mirror_is_called_short(
    ahead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    monkeypatch.setattr(fsck_folder, "_file_at", lambda _: 1)
    report = Meanwhile(ahead, lambda: take_back(ahead), 2).check()
    assert [Path(one.file).name for one in report.damaged] == ["state.db"]


@pytest.mark.parametrize("note", ["text", 7, 1.5])
def test_a_head_that_is_no_bytes_is_damage(tmp_path: Path, note: object) -> None:
    board = written(tmp_path / "data", lots=2)
    with closing(sqlite3.connect(board.data / "state.db", isolation_level=None)) as db:
        db.execute("INSERT OR REPLACE INTO head VALUES (8, ?)", (note,))
    (found,) = checked(board.data).damaged
    assert found.file == str(board.data / "state.db")
    assert found.what == "the head of size 8 in it is damaged: it is no note"
