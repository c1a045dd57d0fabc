# SPDX-License-Identifier: Apache-2.0
"""The power fails, or the disk, at every single write of one batch.

What must hold afterwards, whichever write it was: the board opens; its state is what the rules
make of its log; it is the state before the batch or after it, never between; nothing that was
signed is lost; and the same posts lead to the same receipts and the same root in the end.
"""

import shutil
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

import pytest

from fieldpost.durable import OS, Disk
from fieldpost.engines.base import Receipt
from fieldpost.engines.board_files import log_directory
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.engines.recovery import open_board
from fieldpost.engines.writer import BoardWriter
from fieldpost.errors import NotFound, Unavailable
from fieldpost.store.state_db import StateChange, StateDb
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.faults import FaultyDisk, PowerCut
from fieldpost.tlog.note import parse_note

pytestmark = pytest.mark.crash

WAIT_S = 30.0
# A batch from here crosses the border of a tile, so that full, partial and higher files are made.
POSTS_BEFORE = 240
POSTS = 20


class Scene:
    """A board on disk as it was before the batch, the batch, and what must come of it."""

    def __init__(self, folder: Path) -> None:
        self.board = BoardOnDisk(folder / "data")
        maker = self.board.maker
        writer = self.board.open()
        writer.publish(self.board.time)
        self.board.write(writer, maker.registration())
        self.board.write(writer, maker.class_set())
        self.board.write(
            writer,
            *(
                maker.lot_enrol(count=1, root=sha256(bytes([n])).digest())
                for n in range(POSTS_BEFORE)
            ),
        )
        writer.close()
        self.before = self.board.state
        self.posts = [
            maker.lot_enrol(count=1, root=sha256(bytes([n, 1])).digest()) for n in range(POSTS)
        ]
        self.board.apply(self.posts)
        self.after = self.board.state
        self.time = self.board.time
        self._folder = folder
        self._copies = 0
        self._checks = 0

    def copy(self) -> Path:
        """The data directory as it was before the batch, anew."""
        self._copies += 1
        return Path(shutil.copytree(self.board.data, self._folder / str(self._copies)))

    def open(self, data: Path, disk: Disk = OS) -> BoardWriter:
        return open_board(data, disk=disk)

    def write(self, writer: BoardWriter) -> None:
        writer.commit(self.posts, time=self.time)
        writer.publish(self.time)

    def check(self, data: Path) -> int:
        """Everything that must hold afterwards; returns the size that survived."""
        signed = signed_size(data)
        writer = self.open(data)
        try:
            assert writer.state.size >= signed
            expected = {self.before.size: self.before, self.after.size: self.after}
            survived = expected[writer.state.size]
            assert writer.state.map.root == survived.map.root
            assert writer.state.last == survived.last
            assert writer.log.size == writer.db.size() == survived.size
            # Whoever sends the posts again gets what they would have got.
            if writer.state.size == self.before.size:
                with pytest.raises(NotFound):
                    writer.find_receipt(sha256(self.posts[0]).digest())
                writer.commit(self.posts, time=self.time)
            receipts = [writer.find_receipt(sha256(post).digest()) for post in self.posts]
            assert receipts == [
                Receipt(self.before.size + n, self.after.size) for n in range(POSTS)
            ]
            assert writer.state.map.root == self.after.map.root
            assert writer.publish(self.time).size == self.after.size
            items = writer.db.items()
        finally:
            writer.close()
        assert not [path for path in data.rglob("*.tmp") if path.is_file()]
        self._checks += 1
        # Rebuilding is slow: often enough to meet every stage of a batch.
        if self._checks % 5 == 0:
            self.check_rebuilt(data, items)
        return survived.size

    def check_rebuilt(self, data: Path, items: list[tuple[bytes, bytes]]) -> None:
        """The log alone gives the same state database."""
        for path in data.glob("state.db*"):
            path.unlink()
        writer = self.open(data)
        try:
            assert writer.db.items() == items
            assert writer.state.last == self.after.last
        finally:
            writer.close()


def signed_size(data: Path) -> int:
    note = (log_directory(data) / "checkpoint").read_bytes()
    return int(parse_note(note).text.split("\n")[1])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"))


def count_calls(scene: Scene) -> tuple[int, int]:
    """How many disk calls opening takes, and how many opening and one batch take."""
    disk = FaultyDisk()
    writer = scene.open(scene.copy(), disk)
    opening = len(disk.calls)
    scene.write(writer)
    writer.close()
    return opening, len(disk.calls)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_power_cut_at_any_write_leaves_the_board_before_or_after_the_batch(
    scene: Scene, when: Literal["before", "after"]
) -> None:
    opening, end = count_calls(scene)
    assert end - opening > 40
    survivors = []
    for step in range(opening, end):
        data = scene.copy()
        writer = scene.open(data, FaultyDisk(fail_at=step, when=when, power_cut=True))
        with pytest.raises(PowerCut):
            scene.write(writer)
        writer.close()
        survivors.append(scene.check(data))
        shutil.rmtree(data)
    # Early cuts lose the batch and late ones keep it: the loop reached both sides.
    assert survivors[0] == scene.before.size
    assert survivors[-1] == scene.after.size
    assert survivors == sorted(survivors)


@pytest.mark.parametrize("largest", [1, 100])
def test_torn_writes_leave_the_board_before_the_batch(scene: Scene, largest: int) -> None:
    """Only some bytes of the first bundle reach the disk."""
    opening, _ = count_calls(scene)
    for step in range(opening + 1, opening + 30):
        data = scene.copy()
        disk = FaultyDisk(fail_at=step, power_cut=True, largest_write=largest)
        writer = scene.open(data, disk)
        with pytest.raises(PowerCut):
            scene.write(writer)
        writer.close()
        assert scene.check(data) == scene.before.size
        shutil.rmtree(data)


class CutDb:
    """A state database during whose transaction the power fails."""

    def __init__(self, db: StateDb, *, after: bool) -> None:
        self._db = db
        self._after = after

    def commit(self, change: StateChange, *, keep: int) -> None:
        if self._after:
            self._db.commit(change, keep=keep)
        raise PowerCut

    def close(self) -> None:
        self._db.close()


@pytest.mark.parametrize("after", [True, False])
def test_a_power_cut_around_the_state_transaction_keeps_the_batch(
    scene: Scene, after: bool
) -> None:
    data = scene.copy()
    writer = scene.open(data)
    writer.db = CutDb(writer.db, after=after)  # type: ignore[assignment]
    with pytest.raises(PowerCut):
        scene.write(writer)
    writer.close()
    assert signed_size(data) == scene.before.size
    assert scene.check(data) == scene.after.size


def test_a_second_power_cut_during_recovery_changes_nothing(scene: Scene) -> None:
    torn = scene.copy()
    writer = scene.open(torn)
    writer.db = CutDb(writer.db, after=False)  # type: ignore[assignment]
    with pytest.raises(PowerCut):
        scene.write(writer)
    writer.close()
    disk = FaultyDisk()
    counted = shutil.copytree(torn, torn.with_name("counted"))
    scene.open(counted, disk).close()
    for step in range(len(disk.calls)):
        data = shutil.copytree(torn, torn.with_name("again"))
        with pytest.raises(PowerCut):
            scene.open(data, FaultyDisk(fail_at=step, power_cut=True))
        assert scene.check(data) == scene.after.size
        shutil.rmtree(data)


def answers(engine: EmbeddedEngine, posts: Sequence[bytes]) -> list[Receipt | None]:
    """The receipts, None where the engine was unavailable."""
    futures = [engine.submit(post) for post in posts]
    found: list[Receipt | None] = []
    for future in futures:
        try:
            found.append(future.result(WAIT_S))
        except Unavailable:
            found.append(None)
    return found


def engine_on(scene: Scene, data: Path, disk: FaultyDisk) -> EmbeddedEngine:
    clock: Callable[[], int] = lambda: scene.time  # noqa: E731 - one line for one number
    return EmbeddedEngine(data, clock=clock, uptime=lambda: 0.0, disk=disk)


def test_an_engine_goes_on_after_any_single_disk_error(scene: Scene) -> None:
    """Every acknowledged post is there, and sending the others again completes the batch."""
    counting = FaultyDisk()
    engine = engine_on(scene, scene.copy(), counting)
    opening = len(counting.calls)
    answers(engine, scene.posts[:3])
    engine.close()
    for step in range(opening, len(counting.calls)):
        data = scene.copy()
        engine = engine_on(scene, data, FaultyDisk(fail_at=step))
        first = answers(engine, scene.posts[:3])
        second = answers(engine, scene.posts[:3])
        assert None not in second
        assert all(old in {None, new} for old, new in zip(first, second, strict=True))
        entries = [engine.read_entry(receipt.index) for receipt in second if receipt]
        assert entries == scene.posts[:3]
        engine.close()
        shutil.rmtree(data)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_power_cut_acknowledges_nothing_that_is_lost(scene: Scene) -> None:
    counting = FaultyDisk()
    engine = engine_on(scene, scene.copy(), counting)
    opening = len(counting.calls)
    answers(engine, scene.posts[:3])
    engine.close()
    for step in range(opening, len(counting.calls), 3):
        data = scene.copy()
        engine = engine_on(scene, data, FaultyDisk(fail_at=step, power_cut=True))
        acknowledged = answers(engine, scene.posts[:3])
        engine.close()
        again = engine_on(scene, data, FaultyDisk())
        known = answers(again, scene.posts[:3])
        assert all(old in {None, new} for old, new in zip(acknowledged, known, strict=True))
        again.close()
        shutil.rmtree(data)
