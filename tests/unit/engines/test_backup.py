# SPDX-License-Identifier: Apache-2.0
"""A backup of a running node is whole, and what is restored from it never signs below the mark."""

import shutil
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.durable import write_file
from fieldpost.engines.backup import MANIFEST, MOVED, back_up, read_backup
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.engines.exclusive import DirectoryLock
from fieldpost.engines.recovery import open_board
from fieldpost.engines.restore import RESTORING, check_usable, restore, say_newest
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.engines.tail import Caught, catch_up, is_restored
from fieldpost.errors import Malformed, Misconfigured, Untrusted
from fieldpost.node.config import NodeConfig
from fieldpost.node.start import open_engine
from fieldpost.store.blobs import FileBlobs
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.tlog.cosignature import cosign, format_cosignature
from tests.unit.engines.mirrored_boards import damage, enrol, mirror, written

NOW = 1_800_000_000
BLOB = b"firmware " * 9_999


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    """A published board of size 10 with one blob."""
    made = written(tmp_path / "data", lots=2)
    blobs, digest = FileBlobs(made.data / "blobs"), sha256(BLOB).digest()
    blobs.upload(digest, 0, [BLOB], size=len(BLOB), maker=bytes(16))
    blobs.finish(digest, size=len(BLOB), maker=bytes(16))
    return made


def same(one: Path, other: Path) -> None:
    """Both folders hold the same log, blobs and state."""
    for name in ("log", "blobs"):
        files = [p.relative_to(one) for p in sorted((one / name).rglob("*")) if p.is_file()]
        assert files
        for file in files:
            # Older partial files need not be copied; a checkpoint is for the engine to publish.
            if not file.parent.name.endswith(".p") and file.name != "checkpoint":
                assert (one / file).read_bytes() == (other / file).read_bytes()


def test_a_backup_taken_while_posts_are_written_is_whole(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    writer = board.open()
    watched: list[str] = []

    def write_meanwhile(what: str, done: int, total: int) -> None:
        """Every step of the copying meets a log that has grown, and a torn batch at its end."""
        assert done <= total
        watched.append(what)
        root = f"{len(watched)}".encode().ljust(32, b".")
        board.write(writer, board.maker.lot_enrol(root=root))

    made, damaged = back_up(board.data, tmp_path / "backup", now=NOW, watch=write_meanwhile)
    writer.close()
    assert (made.size, made.keys, damaged) == (10, False, [])
    assert {"entries", "blobs"} <= set(watched)
    restored, _ = restore(
        tmp_path / "backup", tmp_path / "new", keys=board.data / "keys", newest=True
    )
    assert restored == made
    # The mark came with the keys: the node knows that it signed more since.
    with pytest.raises(Misconfigured, match="older than what the node signed"):
        open_engine(NodeConfig(data=tmp_path / "new"), clock=lambda: board.time)
    caught = catch_up(tmp_path / "new", [mirror(board.data)])
    assert caught == Caught(grew=True, behind=None)
    same(board.data, tmp_path / "new")


def test_a_batch_that_is_committed_and_not_published_is_in_the_backup(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """Otherwise the copied state.db would know more than the copied log."""
    lot = board.maker.lot_enrol(root=b"!" * 32)
    board.apply([lot])
    writer = board.open()
    writer.commit([lot], time=board.time)
    made, _ = back_up(board.data, tmp_path / "backup", now=NOW)
    writer.close()
    assert made.size == 10
    restore(tmp_path / "backup", tmp_path / "new", keys=board.data / "keys", newest=True)
    engine = open_engine(NodeConfig(data=tmp_path / "new"), clock=lambda: board.time)
    assert engine.published().size == 12
    assert engine.published().map.root == board.state.map.root
    engine.close()


def test_a_second_backup_into_the_same_folder_writes_what_is_new_alone(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    enrol(board, 130)
    back_up(board.data, tmp_path / "backup", now=NOW)
    full = tmp_path / "backup" / "log" / "tile" / "entries" / "000"
    before = full.stat().st_ino
    enrol(board, 2)
    made, _ = back_up(board.data, tmp_path / "backup", now=NOW + 1)
    assert made.size == 274
    assert full.stat().st_ino == before
    assert read_backup(tmp_path / "backup") == made


def test_keys_are_in_the_backup_only_on_request_and_for_the_owner_alone(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    back_up(board.data, tmp_path / "plain", now=NOW)
    secrets = [path.read_bytes() for path in (board.data / "keys").glob("*.pem")]
    for path in (tmp_path / "plain").rglob("*"):
        assert not path.is_file() or path.read_bytes() not in secrets
    with pytest.raises(Misconfigured, match="there are no keys"):
        restore(tmp_path / "plain", tmp_path / "new")
    back_up(board.data, tmp_path / "secret", now=NOW, keys=True)
    for path in (tmp_path / "secret" / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    restore(tmp_path / "secret", tmp_path / "other", newest=True)
    open_engine(NodeConfig(data=tmp_path / "other"), clock=lambda: board.time).close()


def test_a_restored_node_does_not_start_before_somebody_says_what_was_signed_last(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    back_up(board.data, tmp_path / "backup", now=NOW, keys=True)
    enrol(board, 3)
    restore(tmp_path / "backup", tmp_path / "new")
    assert is_restored(tmp_path / "new")
    with pytest.raises(Misconfigured, match="name a copy that followed the board with --mirror"):
        open_engine(NodeConfig(data=tmp_path / "new"), clock=lambda: board.time)
    config = NodeConfig(data=tmp_path / "new", mirrors=(str(board.data),))
    engine = open_engine(config, clock=lambda: board.time)
    assert engine.published().size == 16
    engine.close()
    assert not is_restored(tmp_path / "new")


def test_control_a_restored_node_whose_operator_is_wrong_signs_a_second_history(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """What the question is for: `--newest` was said, and it was not true."""
    back_up(board.data, tmp_path / "backup", now=NOW, keys=True)
    restore(tmp_path / "backup", tmp_path / "new")
    enrol(board, 1)
    say_newest(tmp_path / "new")
    engine = EmbeddedEngine(tmp_path / "new", clock=lambda: board.time + 60)
    post = board.maker.lot_enrol(root=b"?" * 32, nonce=3)
    engine.submit(post).result()
    theirs = engine.published().checkpoint
    engine.close()
    mine = SignedMark(board.data / "keys")
    assert mine.size == theirs.size == 12
    assert SignedMark(tmp_path / "new" / "keys")._root != mine._root
    with pytest.raises(Misconfigured, match="was not restored"):
        say_newest(tmp_path / "new")


def test_a_device_that_saw_more_takes_nothing_older_from_a_restored_node(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """The restored node has no larger size to show, and no way to make one."""
    back_up(board.data, tmp_path / "backup", now=NOW, keys=True)
    enrol(board, 3)
    restore(tmp_path / "backup", tmp_path / "new")
    engine = EmbeddedEngine(
        tmp_path / "new",
        clock=lambda: board.time,
        ask_mirrors=lambda: catch_up(tmp_path / "new", [mirror(tmp_path / "nowhere")]),
    )
    head = engine.published()
    assert head.size == 10
    assert head.timestamp < board.time, "nothing old is made to look fresh"
    engine.close()


def test_a_node_that_moved_starts_at_its_new_place_and_nowhere_else(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    lock = DirectoryLock(board.data)
    with pytest.raises(Misconfigured, match="in use by another node"):
        back_up(board.data, tmp_path / "backup", now=NOW, keys=True, final=True)
    lock.release()
    back_up(board.data, tmp_path / "backup", now=NOW, keys=True, final=True)
    with pytest.raises(Misconfigured, match="was moved away"):
        open_engine(NodeConfig(data=board.data), clock=lambda: board.time)
    restore(tmp_path / "backup", tmp_path / "new")
    assert not is_restored(tmp_path / "new")
    engine = open_engine(NodeConfig(data=tmp_path / "new"), clock=lambda: board.time)
    assert engine.published().size == 10
    engine.close()
    assert not (tmp_path / "new" / MOVED).exists()


def test_a_restore_that_was_cut_off_is_finished_by_the_same_command(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    back_up(board.data, tmp_path / "backup", now=NOW, keys=True)
    restore(tmp_path / "backup", tmp_path / "new", newest=True)
    write_file(tmp_path / "new" / RESTORING, b"")
    (tmp_path / "new" / "state.db").unlink()
    with pytest.raises(Misconfigured, match="was cut off"):
        check_usable(tmp_path / "new")
    with pytest.raises(Misconfigured, match="was cut off"):
        open_engine(NodeConfig(data=tmp_path / "new"), clock=lambda: board.time)
    restore(tmp_path / "backup", tmp_path / "new", newest=True)
    check_usable(tmp_path / "new")
    with pytest.raises(Misconfigured, match="holds a board"):
        restore(tmp_path / "backup", tmp_path / "new", newest=True)


def test_a_backup_that_was_cut_off_is_none(board: BoardOnDisk, tmp_path: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    back_up(board.data, tmp_path / "backup", now=NOW)
    with pytest.raises(KeyboardInterrupt):
        back_up(board.data, tmp_path / "backup", now=NOW, watch=stop)
    with pytest.raises(Misconfigured, match="was cut off"):
        restore(tmp_path / "backup", tmp_path / "new", keys=board.data / "keys")


@pytest.mark.parametrize(
    "file", ["tile/entries/000.p/10", "tile/0/000.p/10", "checkpoint"], ids=lambda f: f[:12]
)
def test_damage_in_the_log_stops_the_backup_and_is_named(
    board: BoardOnDisk, tmp_path: Path, file: str
) -> None:
    damage(board.data / "log" / file, 40)
    with pytest.raises((Untrusted, Malformed, Misconfigured)) as stopped:
        back_up(board.data, tmp_path / "backup", now=NOW)
    assert file.rsplit("/", maxsplit=1)[-1] in str(stopped.value)
    assert not (tmp_path / "backup" / MANIFEST).exists()


def test_a_damaged_blob_is_named_and_the_rest_is_backed_up(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    path = FileBlobs(board.data / "blobs").path(sha256(BLOB).digest())
    damage(path)
    made, damaged = back_up(board.data, tmp_path / "backup", now=NOW)
    assert made.size == 10
    assert [str(path) in line for line in damaged] == [True]
    assert not FileBlobs(tmp_path / "backup" / "blobs").is_stored(sha256(BLOB).digest())


def test_the_backup_of_another_board_and_the_keys_of_another_are_refused(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    other = written(tmp_path / "other")
    back_up(board.data, tmp_path / "backup", now=NOW)
    with pytest.raises(Misconfigured, match=r"is a backup of board\.test/1#"):
        back_up(other.data, tmp_path / "backup", now=NOW)
    back_up(board.data, tmp_path / "backup", now=NOW)
    with pytest.raises(Misconfigured, match="did not sign this backup"):
        restore(tmp_path / "backup", tmp_path / "new", keys=other.data / "keys")


def test_a_backup_is_a_mirror(board: BoardOnDisk, tmp_path: Path) -> None:
    copied = shutil.copytree(board.data, tmp_path / "old")
    enrol(board, 2)
    back_up(board.data, tmp_path / "backup", now=NOW)
    assert catch_up(copied, [mirror(tmp_path / "backup")]) == Caught(grew=True, behind=None)


def test_a_restored_node_starts_that_keeps_a_head_of_before_its_newest(tmp_path: Path) -> None:
    """A copy of a log has no incomplete tiles of older sizes."""
    board = BoardOnDisk(tmp_path / "data", witnesses=1)
    writer = board.open()
    writer.publish(board.time)
    board.write(writer, board.maker.registration())
    (witness,), head = board.witnesses, writer.committed
    assert head is not None
    name, size = witness.key.name, head.checkpoint.size
    line = cosign(head.checkpoint, name=name, signer=witness.signer, timestamp=board.time)
    writer.add_cosignatures(size, [format_cosignature(line, name=name)])
    board.write(writer, board.maker.class_set())
    assert set(writer.db.heads()) == {size} != {writer.log.size}
    writer.close()
    back_up(board.data, tmp_path / "backup", now=board.time, keys=True, final=True)
    restore(tmp_path / "backup", tmp_path / "again")
    again = open_board(tmp_path / "again")
    assert set(again.db.heads()) == {size}
    again.close()
