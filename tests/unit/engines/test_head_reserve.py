# SPDX-License-Identifier: Apache-2.0
"""The room that is kept for heads: given up in pieces, made whole again, and never for nothing."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from fieldpost.disk import OsDisk
from fieldpost.durable import DiskFull, write_file
from fieldpost.engines import head_reserve
from fieldpost.engines.head_reserve import PIECE_BYTES, HeadReserve
from fieldpost.engines.intake import MOST_IN_BATCH
from fieldpost.errors import Unavailable
from fieldpost.store.growing_edge import GrowingEdge
from fieldpost.tlog.tree import CompactRange

MIB = 1024 * 1024
WANTED = 8 * PIECE_BYTES


class Quota(OsDisk):
    """A disk on which one user may have so many bytes. Nobody sees the quota who looks for room."""

    def __init__(self, root: Path, most: int) -> None:
        self.root = root
        self.most = most

    def write(self, fd: int, data: memoryview) -> int:
        """See `Disk`; the last write is short, as the kernel makes it."""
        used = sum(path.stat().st_size for path in self.root.iterdir())
        if used >= self.most:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return super().write(fd, data[: self.most - used])


def made(folder: Path, disk: OsDisk) -> HeadReserve:
    reserve = HeadReserve(folder, WANTED, disk=disk)
    reserve.restore(0.0)
    assert reserve.is_whole
    return reserve


def test_it_takes_its_room_at_once_and_in_bytes_that_nothing_can_shrink(tmp_path: Path) -> None:
    made(tmp_path, OsDisk())
    data = (tmp_path / "reserve").read_bytes()
    assert len(data) == WANTED
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= WANTED
    assert len({data[at : at + 512] for at in range(0, WANTED, 512)}) == WANTED // 512


@pytest.mark.parametrize("others", ["nobody", "somebody"])
def test_every_head_takes_a_piece_at_most_while_others_take_whatever_is_free(
    tmp_path: Path, others: str
) -> None:
    disk = Quota(tmp_path, 4 * MIB)
    reserve = made(tmp_path, disk)
    written = 0

    def fill() -> None:
        with pytest.raises(DiskFull, match="quota"):
            write_file(tmp_path / f"ballast {written}", bytes(disk.most), disk=disk)
        room = disk.most - sum(path.stat().st_size for path in tmp_path.iterdir())
        (tmp_path / f"ballast {written}").write_bytes(bytes(room))

    def head() -> None:
        write_file(tmp_path / "checkpoint", bytes(3_000), disk=disk)

    head()
    fill()
    for _ in range(WANTED // PIECE_BYTES):
        reserve.carry(head)
        written += 1
        if others == "somebody":
            fill()
        with pytest.raises(DiskFull, match="kept for heads"):
            reserve.check_room(0)
    if others == "somebody":
        assert reserve.held_bytes == 0
        with pytest.raises(DiskFull, match="quota"):
            reserve.carry(head)
    else:
        # What one head frees, the next one takes.
        assert reserve.held_bytes == WANTED - PIECE_BYTES


def test_it_is_whole_again_once_there_is_room_for_it_and_for_a_batch(tmp_path: Path) -> None:
    disk = Quota(tmp_path, 4 * MIB)
    reserve = made(tmp_path, disk)
    ballast = tmp_path / "ballast"
    ballast.write_bytes(bytes(4 * MIB - WANTED))
    reserve.carry(lambda: write_file(tmp_path / "checkpoint", bytes(3_000), disk=disk))
    left = reserve.held_bytes
    for now, free in enumerate((0, MIB // 2), 1):
        ballast.write_bytes(bytes(4 * MIB - WANTED - free))
        reserve.restore(100.0 * now)
        assert reserve.held_bytes == left == (tmp_path / "reserve").stat().st_size
    ballast.write_bytes(bytes(4 * MIB - 2 * WANTED - MIB))
    reserve.restore(309.0)
    assert reserve.is_whole
    reserve.check_room(0)
    again = HeadReserve(tmp_path, WANTED, disk=disk)
    assert again.is_whole
    assert (tmp_path / "reserve").stat().st_size == WANTED


def test_after_a_failure_it_is_not_tried_again_at_once(tmp_path: Path) -> None:
    disk = Quota(tmp_path, MIB)
    reserve = HeadReserve(tmp_path, WANTED, disk=disk)
    reserve.restore(0.0)
    disk.most = 4 * MIB
    reserve.restore(9.9)
    assert reserve.held_bytes == 0
    reserve.restore(10.0)
    assert reserve.is_whole


def test_what_a_failed_fsync_lost_is_not_counted_as_room(tmp_path: Path) -> None:
    class Failing(OsDisk):
        def fsync(self, fd: int) -> None:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    made(tmp_path, OsDisk())
    os.truncate(tmp_path / "reserve", WANTED - PIECE_BYTES)
    reserve = HeadReserve(tmp_path, WANTED, disk=Failing())
    reserve.restore(0.0)
    assert (reserve.held_bytes, (tmp_path / "reserve").stat().st_size) == (0, 0)
    made(tmp_path, OsDisk())
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= WANTED


def test_what_room_would_not_mend_costs_nothing_of_it(tmp_path: Path) -> None:
    reserve = made(tmp_path, OsDisk())
    errors = [Unavailable("a token is away"), Unavailable("cannot use state.db")]
    errors[1].__cause__ = sqlite3.OperationalError("disk I/O error")

    def fail() -> None:
        raise errors[-1]

    while errors:
        with pytest.raises(Unavailable):
            reserve.carry(fail)
        errors.pop()
    assert reserve.is_whole


def test_sqlite_does_not_say_that_a_quota_is_used_up_so_that_is_tried(tmp_path: Path) -> None:
    disk = Quota(tmp_path, 4 * MIB)
    reserve = made(tmp_path, disk)
    (tmp_path / "ballast").write_bytes(bytes(4 * MIB - WANTED))

    def commit() -> int:
        if reserve.is_whole:
            raise Unavailable("state.db") from sqlite3.OperationalError("disk I/O error")
        return 7

    assert reserve.carry(commit) == 7
    assert reserve.held_bytes == WANTED - PIECE_BYTES


def test_a_batch_that_the_disk_cannot_hold_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = made(tmp_path, OsDisk())
    monkeypatch.setattr(head_reserve, "free_bytes", lambda _: 5 * MIB)
    reserve.check_room(MIB)
    with pytest.raises(DiskFull, match="a batch needs"):
        reserve.check_room(MIB + 1)
    assert reserve.is_whole


def test_a_smaller_setting_gives_room_back(tmp_path: Path) -> None:
    made(tmp_path, OsDisk())
    smaller = HeadReserve(tmp_path, PIECE_BYTES)
    assert smaller.is_whole
    smaller.restore(0.0)
    assert (tmp_path / "reserve").stat().st_size == PIECE_BYTES


def test_work_that_needs_more_than_there_is_is_begun_few_times(tmp_path: Path) -> None:
    """It may be the opening of a whole board."""
    reserve = made(tmp_path, OsDisk())
    held: list[int] = []

    def work() -> None:
        held.append(reserve.held_bytes // PIECE_BYTES)
        raise DiskFull("no room")

    with pytest.raises(DiskFull, match="no room"):
        reserve.carry(work)
    assert held == [8, 7, 5, 1, 0, 0]
    assert not (tmp_path / "reserve").exists()


def test_where_files_are_too_many_the_file_itself_goes_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = made(tmp_path, OsDisk())
    files = [0]
    monkeypatch.setattr(head_reserve, "free_files", lambda _: files[0])

    def head() -> str:
        if (tmp_path / "reserve").exists():
            raise DiskFull("no file")
        return "a head"

    assert reserve.carry(head) == "a head"
    assert reserve.held_bytes == 0
    # One file is free now. A batch would need more, and the next head needs it.
    for now, count in ((100.0, 1), (200.0, 63)):
        files[0] = count
        reserve.restore(now)
        assert not (tmp_path / "reserve").exists()
    files[0] = 64
    reserve.restore(300.0)
    assert reserve.is_whole
    reserve.check_room(0)


@pytest.mark.parametrize(
    ("files", "is_enough"), [(0, False), (63, False), (64, True), (None, True)]
)
def test_a_batch_for_whose_files_there_is_no_place_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int | None, is_enough: bool
) -> None:
    """None: a file system that does not count them."""
    reserve = made(tmp_path, OsDisk())
    monkeypatch.setattr(head_reserve, "free_files", lambda _: files)
    if is_enough:
        reserve.check_room(0)
    else:
        with pytest.raises(DiskFull, match="remove some files"):
            reserve.check_room(0)
    assert reserve.is_whole


@pytest.mark.parametrize("size", [0, 1, 255, 256 * 255 - 1, 65_535, 65_536 + 255])
def test_the_largest_batch_takes_no_more_files_than_are_asked_for(size: int) -> None:
    edge = GrowingEdge(CompactRange.empty())
    if size:
        edge, _ = edge.grow([b"x"] * size)
    _, files = edge.grow([b"y"] * (MOST_IN_BATCH + 1))
    folders = {path.rpartition("/")[0] for path in files}
    # Each level's folder may be new too, and of its index three more at most.
    assert len(files) + len(folders) + 3 * len(folders) <= head_reserve._LEAST_FILES
