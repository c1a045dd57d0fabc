# SPDX-License-Identifier: Apache-2.0
"""Somebody fills a node's disk to the last byte: posts wait, and heads are cosigned all the same.

Another program takes every byte that becomes free, for as long as the reserve lasts; then it stops.
Or it takes every file that the disk has place for, or the last byte in the middle of a batch.
What is on the disk is real, the clock is the test's.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import count
from pathlib import Path
from shutil import rmtree

import pytest

from fieldpost.durable import DiskFull, free_bytes
from fieldpost.engines.base import Answer
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.engines.head_reserve import PIECE_BYTES, free_files
from fieldpost.errors import Unavailable
from fieldpost.store.log_files import LogFiles
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.defences import Defence, without
from tests.crash.mounted import fill, make_ext4, mounted, need

pytestmark = pytest.mark.crash

WAIT_S = 60.0
MIB = 1024 * 1024
HEADS = 24
EPOCH_S = 60


class Full:
    """A node on a disk of its own, and a program beside it that writes until nothing fits."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._ballast: list[Path] = []
        self.board = BoardOnDisk(disk / "data")
        self.up = 0.0
        self.engine = EmbeddedEngine(
            self.board.data,
            clock=lambda: self.board.time,
            uptime=lambda: self.up,
            reserve_bytes=HEADS * PIECE_BYTES,
        )
        for post in (self.board.maker.registration(), self.board.maker.class_set()):
            self.board.apply([post])
            self.engine.submit(post).result(WAIT_S)

    def free_bytes(self) -> int:
        """The room on the disk."""
        return free_bytes(self._disk)

    def fill(self) -> None:
        """All that is free now."""
        self._ballast.append(fill(self._disk).rename(self._disk / f"{len(self._ballast)}"))

    def fill_all_but(self, left: int) -> None:
        """All but so many bytes."""
        ballast = self._disk / "most"
        ballast.write_bytes(bytes(free_bytes(self._disk) - left))
        self._ballast.append(ballast)

    def post_until_refused(self) -> None:
        """As many posts as the disk takes. Raises what the first of the others is told."""
        number = 0
        while True:
            roots = [sha256(bytes([number, n])).digest() for n in range(100)]
            posts = [self.board.maker.lot_enrol(count=1, root=root) for root in roots]
            for future in [self.engine.submit(post) for post in posts]:
                future.result(WAIT_S)
            self.board.apply(posts)
            number += 1

    def empty(self) -> None:
        """The other program is gone, and what it wrote."""
        for path in self._ballast:
            rmtree(path) if path.is_dir() else path.unlink()

    def take_every_file(self) -> None:
        """Empty files, until no more can be made."""
        folder = self._disk / "files"
        folder.mkdir()
        self._ballast.append(folder)
        with suppress(OSError):
            for number in count():
                (folder / str(number)).touch()
        assert free_files(self._disk) == 0

    def fill_within_a_batch(self, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        """Posts, of whose batch only the log found room."""
        append = LogFiles.append

        def append_and_fill(log: LogFiles, entries: Sequence[bytes]) -> None:
            append(log, entries)
            self.fill()

        roots = [sha256(bytes([n])).digest() for n in range(200)]
        posts = [self.board.maker.lot_enrol(count=1, root=root) for root in roots]
        answered: Future[Sequence[Answer]] = Future()
        with monkeypatch.context() as patched:
            patched.setattr(LogFiles, "append", append_and_fill)
            self.engine.submit_many(posts, answered.set_result)
            answers = answered.result(WAIT_S)
        assert all(isinstance(answer, DiskFull) for answer in answers)
        return posts

    def cosign(self) -> int:
        """The next epoch; how old the head is then, in seconds."""
        self.board.time += EPOCH_S
        self.up += EPOCH_S
        self.engine.refresh(self.board.time)
        return self.board.time - self.engine.published().timestamp


@contextmanager
def full(tmp_path: Path, system: str) -> Iterator[Full]:
    need("mount", "umount", "mkfs.ext4")
    if system == "tmpfs":
        what = ["-t", "tmpfs", "-o", "size=12m,nr_inodes=400", "tmpfs"]
    else:
        make_ext4(tmp_path / "image", size_bytes=16 * MIB)
        what = ["-o", "loop", str(tmp_path / "image")]
    with mounted(tmp_path / "disk", *what) as disk:
        node = Full(disk)
        try:
            yield node
        finally:
            node.engine.close()


@pytest.mark.parametrize("system", ["tmpfs", "ext4"])
def test_on_a_full_disk_heads_are_cosigned_while_others_take_every_byte_that_comes_free(
    tmp_path: Path, system: str
) -> None:
    with full(tmp_path, system) as node:
        posts = [node.board.maker.lot_enrol(count=1, root=bytes([n]) * 32) for n in range(2)]
        size = node.engine.published().size
        for _ in range(HEADS):
            node.fill()
            assert node.cosign() == 0
            with pytest.raises(DiskFull, match=r"kept for heads|a batch needs"):
                node.engine.submit(posts[0]).result(WAIT_S)
        with pytest.raises(Unavailable, match="kept for heads"):
            node.engine.check_ready()
        assert node.engine.published().size == size
        node.empty()
        # The same process, the same bytes.
        assert node.cosign() == 0
        node.engine.check_ready()
        node.board.apply(posts)
        for post in posts:
            assert node.engine.submit(post).result(WAIT_S).index >= size


def test_without_the_reserve_a_full_disk_ends_freshness(tmp_path: Path) -> None:
    """The control."""
    with without(Defence.HEAD_RESERVE), full(tmp_path, "tmpfs") as node:
        node.fill()
        with pytest.raises(DiskFull, match="free some space"):
            node.cosign()
        assert node.board.time - node.engine.published().timestamp == EPOCH_S


def test_posts_alone_never_take_what_heads_need(tmp_path: Path) -> None:
    """Nobody else writes, so the reserve stays whole, however long the disk stays full."""
    with full(tmp_path, "tmpfs") as node:
        node.fill_all_but(2 * MIB)
        with pytest.raises(DiskFull, match="a batch needs"):
            node.post_until_refused()
        assert node.free_bytes() >= MIB // 2
        for _ in range(2 * HEADS):
            assert node.cosign() == 0
        assert node.engine.reserve.is_whole


def test_without_the_reserve_posts_take_what_heads_need(tmp_path: Path) -> None:
    """The control. What they leave is less than a batch, and the next file of anybody takes it."""
    with without(Defence.HEAD_RESERVE), full(tmp_path, "tmpfs") as node:
        node.fill_all_but(2 * MIB)
        with pytest.raises(Unavailable, match="disk is full"):
            node.post_until_refused()
        assert node.free_bytes() < MIB // 2
        node.fill()
        with pytest.raises(DiskFull):
            node.cosign()


def test_where_no_file_can_be_made_heads_are_cosigned_all_the_same(tmp_path: Path) -> None:
    """Each takes the place that the reserve had, and its checkpoint gives one back."""
    with full(tmp_path, "tmpfs") as node:
        post = node.board.maker.lot_enrol(count=1, root=bytes(32))
        size = node.engine.published().size
        node.take_every_file()
        for _ in range(2 * HEADS):
            assert node.cosign() == 0
            with pytest.raises(DiskFull, match=r"kept for heads|remove some files"):
                node.engine.submit(post).result(WAIT_S)
        # Made again it would take the place from the next head.
        assert not (node.board.data / "reserve").exists()
        assert node.engine.published().size == size
        node.empty()
        assert node.cosign() == 0
        assert node.engine.reserve.is_whole
        node.engine.check_ready()
        assert node.engine.submit(post).result(WAIT_S).index == size


def test_without_the_reserve_a_disk_without_place_for_files_ends_freshness(tmp_path: Path) -> None:
    """The control."""
    with without(Defence.HEAD_RESERVE), full(tmp_path, "tmpfs") as node:
        node.take_every_file()
        with pytest.raises(DiskFull, match="free some space"):
            node.cosign()
        assert node.board.time - node.engine.published().timestamp == EPOCH_S


def test_heads_do_not_wait_for_a_batch_of_which_only_the_log_found_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are of the size before it, as many as ever; the batch is whole once there is room."""
    with full(tmp_path, "tmpfs") as node:
        size = node.engine.published().size
        posts = node.fill_within_a_batch(monkeypatch)
        for _ in range(HEADS - 1):
            assert node.cosign() == 0
            assert node.engine.published().size == size
            with pytest.raises(DiskFull):
                node.engine.submit(posts[0]).result(WAIT_S)
            node.fill()
        with pytest.raises(Unavailable, match="a batch needs"):
            node.engine.check_ready()
        assert node.engine.reserve.held_bytes > 0
        node.empty()
        assert node.cosign() == 0
        node.engine.check_ready()
        receipts = [node.engine.submit(post).result(WAIT_S) for post in posts]
        assert [receipt.index for receipt in receipts] == [*range(size, size + len(posts))]
        assert node.engine.published().size == size + len(posts) + 1


def test_heads_that_wait_for_the_batch_before_them_end_freshness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: no head before the batch is whole, however much is kept for heads."""
    with without(Defence.HEADS_BEFORE_BATCH), full(tmp_path, "tmpfs") as node:
        node.fill_within_a_batch(monkeypatch)
        with pytest.raises(DiskFull, match="a batch needs"):
            node.cosign()
        assert node.board.time - node.engine.published().timestamp == EPOCH_S
        assert node.engine.reserve.is_whole
