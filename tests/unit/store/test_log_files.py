# SPDX-License-Identifier: Apache-2.0
"""The log on disk: what is appended is there, and what tore is gone after opening again."""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from fieldpost.disk import OsDisk
from fieldpost.durable import DiskFull
from fieldpost.errors import Misconfigured, NotFound, Unavailable
from fieldpost.keys import Algorithm
from fieldpost.records.state_leaf import StateLeaf
from fieldpost.store.log_files import MAX_BATCH_ENTRIES, LogFiles
from fieldpost.store.log_recovery import open_log
from fieldpost.testing.faults import FaultyDisk
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import Checkpoint, format_checkpoint, sign_checkpoint
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import Note, format_note
from fieldpost.tlog.proof import prove_inclusion, verify_inclusion
from fieldpost.tlog.tiles import Tile, TileHashReader, entries_path, tile_at
from fieldpost.tlog.tree import read_compact_range

SIGNER = DeterministicSigner(Algorithm.ED25519, "log")


def batch(start: int, posts: int, word: str = "post") -> list[bytes]:
    """`posts` entries that are no state leaf, and a state leaf."""
    leaf = StateLeaf(
        covered_size=start + posts,
        map_root=bytes(32),
        key_count=0,
        previous_state_index=None,
        time=0,
        board_epoch=0,
        board_link=bytes(32),
    )
    return [f"\xd2 {word} {start + n}".encode() for n in range(posts)] + [leaf.encode()]


def sign(log: LogFiles, root: bytes | None = None) -> None:
    checkpoint = Checkpoint("board.test/1", log.size, root or log.compact_range().root())
    signature = sign_checkpoint(checkpoint, name="board.test/1", signer=SIGNER)
    log.write_checkpoint(format_note(Note(format_checkpoint(checkpoint), (signature,))))


def filled(root: Path, *posts: int) -> tuple[LogFiles, list[bytes]]:
    log, entries = open_log(root), list[bytes]()
    for count in posts:
        new = batch(len(entries), count)
        log.append(new)
        entries += new
    return log, entries


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_entries_come_back_and_are_proved(tmp_path: Path) -> None:
    log, entries = filled(tmp_path, 3, 300, 1, 700)
    assert log.size == len(entries)
    assert log.read_entries(0, log.size) == entries
    assert log.read_entries(250, 520) == entries[250:520]
    assert log.read_entries(7, 7) == []
    for index in (0, 255, 256, 512, log.size - 1):
        path = prove_inclusion(log.hash_reader(), index=index, size=log.size)
        digest = leaf_hash(log.read_entry(index))
        root = log.compact_range().root()
        verify_inclusion(leaf_hash=digest, index=index, size=log.size, root=root, path=path)


@pytest.mark.parametrize(("start", "end"), [(0, 5), (4, 5), (-1, 1), (2, 1)])
def test_entries_outside_the_log_are_not_found(tmp_path: Path, start: int, end: int) -> None:
    log, _ = filled(tmp_path, 3)
    with pytest.raises(NotFound):
        log.read_entries(start, end)


@pytest.mark.parametrize("posts", [[1], [255], [255, 255], [3, 300, 1, 700]])
@pytest.mark.parametrize("signed", [True, False])
def test_a_log_opens_again_as_it_was(tmp_path: Path, posts: list[int], signed: bool) -> None:
    log, entries = filled(tmp_path, *posts)
    if signed:
        sign(log)
        log.drop_superseded()
    again = open_log(tmp_path)
    assert again.compact_range() == log.compact_range()
    assert again.last_edge() == log.last_edge()
    assert again.read_entries(0, again.size) == entries
    # What it appends next does not depend on having been opened again.
    log.append(batch(log.size, 30))
    files = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    again.append(batch(again.size, 30))
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == files


def test_partial_files_stay_until_the_full_ones_are_there(tmp_path: Path) -> None:
    log, entries = filled(tmp_path, 9, 9)
    sign(log)
    log.drop_superseded()
    assert {"tile/0/000.p/10", "tile/entries/000.p/10", "tile/0/000.p/20"} <= names(tmp_path)
    log.append(batch(log.size, 300))
    log.drop_superseded()
    assert not any(
        name.startswith(("tile/0/000.p", "tile/entries/000.p")) for name in names(tmp_path)
    )
    assert log.read_entries(0, 20) == entries
    reader = TileHashReader(log.read_tile, 20)
    assert prove_inclusion(reader, index=0, size=20) == prove_inclusion(
        log.hash_reader(), index=0, size=20
    )


def test_a_batch_without_its_state_leaf_is_removed(tmp_path: Path) -> None:
    log, entries = filled(tmp_path, 9)
    sign(log)
    log.append(batch(10, 600)[:-1])
    again = open_log(tmp_path)
    assert again.size == 10
    assert {name for name in names(tmp_path) if "entries" in name} == {"tile/entries/000.p/10"}
    again.append(batch(10, 5, "other"))
    assert open_log(tmp_path).read_entries(0, 16) == entries + batch(10, 5, "other")


@pytest.mark.parametrize("lost", ["tile/entries/000", "tile/entries/001"])
def test_a_batch_with_a_lost_bundle_is_removed_beyond_the_gap(tmp_path: Path, lost: str) -> None:
    """Renames may become durable in any order."""
    log, entries = filled(tmp_path, 9)
    sign(log)
    log.append(batch(10, 600))
    (tmp_path / lost).unlink()
    again = open_log(tmp_path)
    assert again.size == 10
    assert {name for name in names(tmp_path) if "entries" in name} == {"tile/entries/000.p/10"}
    assert again.read_entries(0, 10) == entries


def test_a_whole_batch_counts_even_if_its_tiles_are_lost(tmp_path: Path) -> None:
    log, entries = filled(tmp_path, 9)
    sign(log)
    new = batch(10, 600)
    log.append(new)
    shutil.rmtree(tmp_path / "tile" / "0" / "001.p", ignore_errors=True)
    (tmp_path / "tile" / "0" / "001").unlink()
    again = open_log(tmp_path)
    assert again.compact_range() == log.compact_range()
    assert again.read_entries(0, again.size) == entries + new
    assert again.read_tile(Tile(0, 1)) == log.read_tile(Tile(0, 1))


@pytest.mark.parametrize("posts", [5, 600])
def test_hashes_of_a_batch_whose_entries_are_lost_are_removed(tmp_path: Path, posts: int) -> None:
    """Each may reach the disk without the other; left over, they would be no part of any log."""
    log, entries = filled(tmp_path, 200)
    sign(log)
    whole = names(tmp_path)
    log.append(batch(len(entries), posts))
    for path in names(tmp_path) - whole:
        if path.startswith("tile/entries/"):
            (tmp_path / path).unlink()
    assert names(tmp_path) > whole

    again = open_log(tmp_path)

    assert (again.size, names(tmp_path)) == (201, whole)


def test_a_log_that_does_not_hash_to_its_checkpoint_is_refused(tmp_path: Path) -> None:
    log, _ = filled(tmp_path, 9)
    sign(log, root=bytes(32))
    with pytest.raises(Misconfigured, match="does not hash to the checkpoint"):
        open_log(tmp_path)


@pytest.mark.parametrize("path", ["tile/entries/000.p/10", "tile/0/000.p/10"])
@pytest.mark.parametrize("harm", ["lost", "changed"])
def test_a_log_that_lacks_what_it_signed_is_refused_and_left_alone(
    tmp_path: Path, path: str, harm: str
) -> None:
    log, _ = filled(tmp_path, 9)
    sign(log)
    if harm == "lost":
        (tmp_path / path).unlink()
    else:
        data = bytearray((tmp_path / path).read_bytes())
        data[-1] ^= 1
        (tmp_path / path).write_bytes(data)
    before = names(tmp_path)
    with pytest.raises(Misconfigured, match="mirror"):
        open_log(tmp_path)
    assert names(tmp_path) == before


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    log, _ = filled(tmp_path, 9)
    log.write_checkpoint(b"damaged")
    with pytest.raises(Misconfigured, match="damaged"):
        open_log(tmp_path)


def test_a_failed_append_changes_nothing_that_readers_see(tmp_path: Path) -> None:
    log, entries = filled(tmp_path, 9)
    sign(log)
    counting = FaultyDisk()
    open_log(tmp_path, disk=counting)
    failing = open_log(tmp_path, disk=FaultyDisk(fail_at=len(counting.calls) + 2))
    with pytest.raises(Unavailable):
        failing.append(batch(10, 3))
    assert failing.size == 10
    assert failing.read_entries(0, 10) == entries


@pytest.mark.parametrize("count", [0, 16_385])
def test_a_batch_of_no_possible_length_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match="batch"):
        open_log(tmp_path).append([b"x"] * count)


class NoRoom(OsDisk):
    """A disk that is full, and tells what was waited for."""

    def __init__(self) -> None:
        self.open_paths: dict[int, Path] = {}
        self.synced: set[Path] = set()

    def open(self, path: Path, flags: int, mode: int) -> int:
        fd = super().open(path, flags, mode)
        self.open_paths[fd] = path
        return fd

    def write(self, fd: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fsync(self, fd: int) -> None:
        super().fsync(fd)
        self.synced.add(self.open_paths[fd])

    def fsync_many(self, fds: Sequence[int]) -> None:
        for fd in fds:
            self.fsync(fd)


@pytest.mark.parametrize("posts", [(5,), (600, 3, 700), (16_000, 900)])
def test_opening_what_nobody_signed_yet_takes_no_room_and_makes_its_names_durable(
    tmp_path: Path, posts: tuple[int, ...]
) -> None:
    log, entries = filled(tmp_path, 9)
    sign(log)
    for count in posts:
        new = batch(len(entries), count)
        log.append(new)
        entries += new
    disk, before = NoRoom(), names(tmp_path)
    again = open_log(tmp_path, disk=disk)
    assert (again.compact_range(), again.last_edge()) == (log.compact_range(), log.last_edge())
    assert again.read_entries(0, again.size) == entries
    assert names(tmp_path) == before
    last = tile_at(level=0, index=again.size // 256, size=again.size)
    folders = {tmp_path / "tile" / "0", (tmp_path / entries_path(last)).parent}
    assert disk.synced >= folders | {folder.parent for folder in folders}
    again.drop_superseded()
    left = names(tmp_path)
    log.drop_superseded()
    assert names(tmp_path) == left


def test_a_tile_that_is_missing_or_wrong_takes_room(tmp_path: Path) -> None:
    """The control."""
    log, _ = filled(tmp_path, 9)
    sign(log)
    log.append(batch(10, 600))
    (tmp_path / "tile" / "0" / "001").write_bytes(bytes(32 * 256))
    with pytest.raises(DiskFull, match="free some space"):
        open_log(tmp_path, disk=NoRoom())
    assert open_log(tmp_path).read_tile(Tile(0, 1)) == log.read_tile(Tile(0, 1)) != bytes(32 * 256)


def test_a_tile_of_an_upper_level_that_the_last_entries_did_not_reach_is_made_anew(
    tmp_path: Path,
) -> None:
    """More than a part of the recovery lies behind the checkpoint, and its last part is short."""
    log, _ = filled(tmp_path, *[1_999] * 8, 393)
    assert log.size == MAX_BATCH_ENTRIES + 10
    tile = tmp_path / "tile" / "1" / "000.p" / "64"
    tile.unlink()
    again = open_log(tmp_path)
    assert tile.exists()
    assert read_compact_range(again.hash_reader(), size=again.size) == log.compact_range()
    sign(again)
    assert open_log(tmp_path).size == log.size


def test_tiles_that_the_disk_does_not_give_back_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bad_sector(*_: object) -> bool:
        raise Unavailable("cannot read it: Input/output error")

    log, entries = filled(tmp_path, 9)
    sign(log)
    log.append(batch(10, 600))
    before = names(tmp_path)
    for path in (tmp_path / "tile" / "0").rglob("*"):
        if path.is_file() and path.parent.name != "000.p":
            path.write_bytes(b"unreadable")
    monkeypatch.setattr("fieldpost.store.log_recovery.is_same", bad_sector)
    again = open_log(tmp_path)
    assert names(tmp_path) == before
    assert read_compact_range(again.hash_reader(), size=again.size) == log.compact_range()
    assert again.read_entries(0, len(entries)) == entries
