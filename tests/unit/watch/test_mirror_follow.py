# SPDX-License-Identifier: Apache-2.0
"""Following a board from a source: what is taken in, what is refused, and where it goes on."""

from pathlib import Path

import pytest

from fieldpost.errors import Misconfigured, NotFound, Untrusted
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.tlog.note import parse_note
from fieldpost.watch.mirror_follow import Paused
from tests.unit.engines.mirrored_boards import enrol, written
from tests.unit.watch.copied_boards import follow, note_of, opened, step


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    return written(tmp_path / "data", lots=2)


def test_a_copy_has_the_boards_checkpoint_state_and_every_file_of_its_log(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    with opened(tmp_path / "copy") as follower:
        assert step(follower, board.data)
        copy = follower.copy
        assert copy.state is not None
        assert copy.state.map.root == board.state.map.root
        assert copy.published_size == board.state.size
        assert not step(follower, board.data)
        enrol(board, 3)
        assert step(follower, board.data)
        assert copy.state.map.root == board.state.map.root
    assert note_of(tmp_path / "copy") == note_of(board.data)
    bundle = Path("log/tile/entries/000.p") / str(board.state.size)
    assert (tmp_path / "copy" / bundle).read_bytes() == (board.data / bundle).read_bytes()


def test_a_copy_that_was_opened_again_goes_on_from_its_published_size(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    follow(tmp_path / "copy", board.data)
    enrol(board, 1)
    with opened(tmp_path / "copy") as follower:
        assert follower.copy.published_size == board.state.size - 2
        assert step(follower, board.data)
        head = follower.copy.head
    assert head is not None
    assert head.map.root == board.state.map.root


def test_later_cosignatures_of_the_same_size_are_taken_and_older_ones_are_not(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    first = note_of(board.data)
    with opened(tmp_path / "copy") as follower:
        step(follower, board.data)
        writer = board.open()
        writer.publish(board.time + 60)
        writer.close()
        assert step(follower, board.data)
        assert follower.copy.head is not None
        assert follower.copy.head.timestamp == board.time + 60
        source = board.data
        (source / "log" / "checkpoint").write_bytes(first)
        assert not step(follower, board.data)
        assert follower.copy.head.timestamp == board.time + 60


def test_a_source_that_is_behind_brings_nothing_and_is_no_fork(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    old = note_of(board.data)
    enrol(board, 2)
    with opened(tmp_path / "copy") as follower:
        step(follower, board.data)
        (board.data / "log" / "checkpoint").write_bytes(old)
        assert not step(follower, board.data)
        assert follower.copy.published_size == board.state.size
    assert not (tmp_path / "copy" / "evidence").exists()


def test_a_step_that_ran_out_of_time_goes_on_where_it_was(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    with opened(tmp_path / "copy", go_on=lambda: False, at_once=2) as follower:
        with pytest.raises(Paused):
            step(follower, board.data)
        half = follower.copy.log.size
        assert 0 < half < board.state.size
        assert follower.copy.head is None
    with opened(tmp_path / "copy") as follower:
        assert follower.copy.log.size == half
        assert step(follower, board.data)
        assert follower.copy.published_size == board.state.size


def test_a_new_copy_takes_no_other_board_than_the_one_it_was_told(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    with opened(tmp_path / "copy", board="board.test/1#" + "0" * 32) as follower:
        with pytest.raises(Untrusted, match="wrong-board"):
            step(follower, board.data)
        assert follower.copy.log.size == 0
    with opened(tmp_path / "copy", board=board.state.board) as follower:
        assert step(follower, board.data)


def test_a_nodes_own_folder_is_no_place_for_a_copy(board: BoardOnDisk) -> None:
    with pytest.raises(Misconfigured, match="a node's folder"), opened(board.data):
        pass


def test_files_that_a_source_lacks_leave_the_copy_as_it_was(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    follow(tmp_path / "copy", board.data)
    before = note_of(tmp_path / "copy")
    enrol(board, 1)
    for path in (board.data / "log" / "tile" / "entries" / "000.p").iterdir():
        path.unlink()
    with opened(tmp_path / "copy") as follower, pytest.raises(NotFound):
        step(follower, board.data)
    assert note_of(tmp_path / "copy") == before


def test_a_copys_checkpoint_carries_the_boards_own_signatures(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    follow(tmp_path / "copy", board.data)
    found = parse_note(note_of(tmp_path / "copy")).signatures
    assert found == parse_note(note_of(board.data)).signatures
