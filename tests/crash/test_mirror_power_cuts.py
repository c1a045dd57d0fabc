# SPDX-License-Identifier: Apache-2.0
"""A mirror's folder on a disk that forgets what was not fsynced, cut off at every change."""

from pathlib import Path
from random import Random

import pytest

from fieldpost.errors import FieldpostError, Untrusted
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.power_cuts import PowerCuts
from fieldpost.testing.volatile_disk import VolatileDisk
from tests.attacks.test_lying_source_attacks import sign_alone, write_another_end
from tests.unit.engines.mirrored_boards import copy, enrol, written
from tests.unit.watch.copied_boards import note_of, opened, step

pytestmark = pytest.mark.crash


class Life:
    """A board that grows, and what a mirror of it has promised: a published size and its root."""

    def __init__(self, folder: Path) -> None:
        self.board: BoardOnDisk = written(folder / "board", lots=1)
        self.promised = 0

    def judge(self, left: Path) -> None:
        """What was published is there, and the next start goes on to where the board is."""
        with opened(left, disk=VolatileDisk(left)) as follower:
            assert follower.copy.published_size >= self.promised
            step(follower, self.board.data)
            copied = follower.copy
            assert copied.published_size == copied.log.size == self.board.state.size
            assert copied.head is not None
            assert copied.head.map.root == self.board.state.map.root
        assert note_of(left) == note_of(self.board.data)


def test_no_power_cut_takes_back_what_a_mirror_published_or_stops_it_for_good(
    memory: Path,
) -> None:
    """The first copy, a few batches more, later cosignatures alone, and a border of tiles."""
    life = Life(memory)
    data = memory / "mirror"
    data.mkdir()
    disk = VolatileDisk(data)
    with opened(data, disk=disk, at_once=3) as follower:
        cuts = PowerCuts(disk, memory, life.judge, chance=Random(1), by_lot=1)
        for lots in (0, 2, 1):
            with cuts.paused():
                enrol(life.board, lots)
            step(follower, life.board.data)
            life.promised = follower.copy.published_size
            cuts.promise()
        with cuts.paused():
            writer = life.board.open()
            writer.publish(life.board.time + 60)
            writer.close()
        assert step(follower, life.board.data)
        cuts.promise()
    assert cuts.failures == []
    assert cuts.judged > 60


def test_no_power_cut_while_an_invention_is_taken_back_leaves_any_of_it(memory: Path) -> None:
    life = Life(memory)
    copy(life.board.data, memory / "fork")
    write_another_end(life.board, memory / "fork", posts=3)
    sign_alone(memory / "fork", "stranger")
    data = memory / "mirror"
    data.mkdir()
    disk = VolatileDisk(data)

    def judge(left: Path) -> None:
        life.judge(left)

    with opened(data, disk=disk, at_once=4) as follower:
        cuts = PowerCuts(disk, memory, judge, chance=Random(2), by_lot=1)
        with pytest.raises(Untrusted, match="unknown-key"):
            step(follower, memory / "fork")
        cuts.promise()
        step(follower, life.board.data)
        life.promised = follower.copy.published_size
        cuts.promise()
    assert cuts.failures == []
    assert cuts.judged > 60


def test_a_disk_that_fails_once_costs_a_step_and_nothing_else(memory: Path) -> None:
    """At every call of the disk in turn: the same process goes on with the next step."""
    from fieldpost.testing.faults import FaultyDisk

    life = Life(memory)
    counting = FaultyDisk()
    with opened(memory / "count", disk=counting) as follower:
        before = len(counting.calls)
        step(follower, life.board.data)
    calls = len(counting.calls)
    assert calls - before > 10
    for at in range(before, calls):
        folder = memory / f"mirror-{at}"
        with opened(folder, disk=FaultyDisk(fail_at=at)) as follower:
            try:
                step(follower, life.board.data)
            except FieldpostError:
                step(follower, life.board.data)
            assert follower.copy.published_size == life.board.state.size
        assert note_of(folder) == note_of(life.board.data)
