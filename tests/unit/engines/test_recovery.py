# SPDX-License-Identifier: Apache-2.0
"""A board opens again as the log says, or not at all."""

import shutil
from pathlib import Path

import pytest

from fieldpost.engines.board_files import log_directory
from fieldpost.engines.cosigner import LocalCosigner
from fieldpost.engines.recovery import open_board
from fieldpost.engines.writer import BoardWriter
from fieldpost.errors import Misconfigured, Unavailable
from fieldpost.records import map_keys
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.tlog.checkpoint import Checkpoint
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import Note, NoteSignature, format_note, parse_note
from fieldpost.tlog.proof import root_from_edge


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    """A board with a maker and a class, closed, and published."""
    made = BoardOnDisk(tmp_path / "data")
    writer = made.open()
    writer.publish(made.time)
    made.write(writer, made.maker.registration())
    made.write(writer, made.maker.class_set())
    writer.close()
    return made


def check_equal(writer: BoardWriter, board: BoardOnDisk) -> None:
    """What is open is what the ledger in memory computed."""
    assert writer.state.last == board.state.last
    assert writer.state.map.root == board.state.map.root
    assert (writer.state.size, writer.log.size, writer.db.size()) == (board.state.size,) * 3


def test_a_board_opens_again_as_it_was(board: BoardOnDisk) -> None:
    writer = board.open()
    check_equal(writer, board)
    head = writer.head
    assert head is not None
    assert (head.size, head.timestamp, head.map.root) == (6, board.time, board.state.map.root)
    assert head.note == writer.log.read_checkpoint()
    root = root_from_edge(leaf_hash=leaf_hash(head.state_leaf), index=5, edge=head.edge)
    assert root == head.checkpoint.root
    writer.close()


@pytest.mark.parametrize("published", [True, False])
def test_a_missing_state_database_is_rebuilt_from_the_log(
    board: BoardOnDisk, published: bool
) -> None:
    before = StateOf(board)
    for path in board.data.glob("state.db*"):
        path.unlink()
    if not published:
        (log_directory(board.data) / "checkpoint").unlink()
    assert StateOf(board).items == before.items
    writer = board.open()
    check_equal(writer, board)
    links = writer.db.links_since(map_keys.maker(board.maker.id), -1, size=6)
    assert [writer.log.read_entry(index) for index in links] == [writer.log.read_entry(2)]
    writer.close()


class StateOf:
    """What the state database holds once the board was opened."""

    def __init__(self, board: BoardOnDisk) -> None:
        writer = board.open()
        self.items = writer.db.items()
        writer.close()


def test_a_state_database_that_lags_behind_is_caught_up(board: BoardOnDisk, tmp_path: Path) -> None:
    shutil.copy(board.data / "state.db", tmp_path / "old.db")
    writer = board.open()
    board.write(writer, board.maker.lot_enrol(), board.maker.release_publish(1))
    board.write(writer, board.maker.rollout_set(board.maker.offer(1)))
    writer.close()
    for path in board.data.glob("state.db*"):
        path.unlink()
    shutil.copy(tmp_path / "old.db", board.data / "state.db")
    writer = board.open()
    check_equal(writer, board)
    writer.close()


def test_an_unpublished_batch_is_published_by_the_next_start(board: BoardOnDisk) -> None:
    published = board.state.map.root
    writer = board.open()
    lot = board.maker.lot_enrol()
    board.apply([lot])
    writer.commit([lot], time=board.time)
    writer.close()
    again = board.open()
    check_equal(again, board)
    assert again.head is not None
    assert (again.head.size, again.head.map.root) == (6, published)
    assert again.publish(board.time).map.root == board.state.map.root
    again.close()


def test_a_log_that_lost_its_tail_is_refused(board: BoardOnDisk, tmp_path: Path) -> None:
    """A backup of the log without the newest batch, beside the newest state and keys."""
    shutil.copytree(log_directory(board.data), tmp_path / "backup")
    writer = board.open()
    board.write(writer, board.maker.lot_enrol())
    writer.close()
    shutil.rmtree(log_directory(board.data))
    shutil.copytree(tmp_path / "backup", log_directory(board.data))
    with pytest.raises(Misconfigured, match="older than what the node signed"):
        board.open()
    (board.data / "keys" / "largest-signed").unlink()
    with pytest.raises(Misconfigured, match="lost its end"):
        board.open()


def test_a_whole_backup_is_refused_as_long_as_the_keys_remember(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """Log and state.db are both old and agree; only the mark beside the keys tells."""
    for name in ("log", "state.db"):
        source = board.data / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    writer = board.open()
    board.write(writer, board.maker.lot_enrol())
    writer.close()
    shutil.rmtree(log_directory(board.data))
    for path in board.data.glob("state.db*"):
        path.unlink()
    shutil.copytree(tmp_path / "log", log_directory(board.data))
    shutil.copy(tmp_path / "state.db", board.data / "state.db")
    with pytest.raises(Misconfigured, match="second history"):
        board.open()
    # The control: without the mark the node would go on, and sign size 8 anew.
    (board.data / "keys" / "largest-signed").unlink()
    writer = board.open()
    assert writer.state.size == 6
    writer.close()


def test_a_state_database_of_another_board_is_refused(board: BoardOnDisk, tmp_path: Path) -> None:
    other = BoardOnDisk(tmp_path / "other")
    other.open().close()
    for path in board.data.glob("state.db*"):
        path.unlink()
    shutil.copy(other.data / "state.db", board.data / "state.db")
    with pytest.raises(Misconfigured, match="fieldpost node rebuild"):
        board.open()


def test_a_checkpoint_by_another_key_is_refused(board: BoardOnDisk) -> None:
    path = log_directory(board.data) / "checkpoint"
    text = parse_note(path.read_bytes()).text
    stranger = NoteSignature("board.test/1", b"\x00" * 4, bytes(64))
    path.write_bytes(format_note(Note(text, (stranger,))))
    with pytest.raises(Misconfigured, match="not signed by this board"):
        board.open()


def test_an_empty_directory_is_no_board(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        open_board(tmp_path)


class SilentCosigner(LocalCosigner):
    """A quorum that cannot be reached."""

    def cosign(self, checkpoint: Checkpoint, *, timestamp: int) -> tuple[NoteSignature, ...]:
        raise Unavailable("the peers do not answer")


def test_without_a_quorum_nothing_new_is_shown(board: BoardOnDisk) -> None:
    writer = open_board(board.data, make_cosigner=lambda keys, operator: SilentCosigner("x", ()))
    lot = board.maker.lot_enrol()
    writer.commit([lot], time=board.time + 60)
    with pytest.raises(Unavailable):
        writer.publish(board.time + 60)
    assert writer.head is not None
    assert writer.head.size == 6
    assert writer.log.read_checkpoint() == writer.head.note
    writer.close()


def test_the_time_of_cosignatures_never_falls(board: BoardOnDisk) -> None:
    writer = board.open()
    later = writer.publish(board.time + 500)
    assert writer.publish(board.time + 100).timestamp == later.timestamp == board.time + 500
    writer.close()
    writer = board.open()
    assert writer.publish(board.time + 100).timestamp == board.time + 500
    writer.close()
