# SPDX-License-Identifier: Apache-2.0
"""A node whose disk fails once, and whose power goes later: what it acknowledged since is there.

Whoever was refused sends the same again. The disk fails at each call in turn: before the call took
effect, after it, or as an fsync that loses what it was asked for and has no more to say about it.
"""

import errno
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from shutil import copytree, rmtree
from typing import Literal

import pytest

from fieldpost.durable import Disk
from fieldpost.errors import Unavailable
from fieldpost.testing.faults import FaultyDisk
from fieldpost.testing.survivors import survivors
from fieldpost.testing.volatile_disk import VolatileDisk
from tests.crash.node_line import NodeLine, judge

pytestmark = pytest.mark.crash

BLOB = bytes(range(256)) * 12


def insist(act: Callable[[], None]) -> None:
    """Do it again where it was refused, as everybody does who got no answer."""
    for _ in range(3):
        try:
            return act()
        except Unavailable:
            continue
    return act()


class Node:
    """A node that was set up on a sound disk, to be run again and again on others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = 0
        self._judged: set[tuple[bytes, str]] = set()
        self._data = folder / "sound"
        self._data.mkdir()
        line = NodeLine(self._data, VolatileDisk(self._data))
        line.create()
        line.start()
        line.post(line.world.maker.registration())
        line.post(line.world.maker.class_set())
        self._release = line.world.maker.release_publish(1)
        line.stop()
        self._line = line

    def run(self, disk_over: Callable[[VolatileDisk], Disk], **options: object) -> VolatileDisk:
        """A life on a disk with a fault; judges everything that a cut at its end may leave."""
        self._runs += 1
        folder = self._folder / str(self._runs)
        folder.mkdir()
        data = Path(copytree(self._data, folder / "data"))
        medium = VolatileDisk(data, **options)  # type: ignore[arg-type]
        line = self._line.again(data, disk_over(medium))
        insist(line.start)
        for act in (
            lambda: line.post(self._release),
            line.recosign,
            lambda: line.upload(BLOB),
            lambda: line.save_manifest(b"an envelope"),
        ):
            insist(act)
        for number, survivor in enumerate(survivors(medium, chance=Random(self._runs))):
            # Most faults leave no trace in the end, and the same state need not be judged again.
            known = survivor.digest, repr(line.promises)
            if known not in self._judged:
                self._judged.add(known)
                survivor.write_to(folder / str(number))
                for _ in judge(line, folder / str(number)):
                    pass
        line.stop()
        rmtree(folder)
        return medium


@pytest.fixture
def node(memory: Path) -> Node:
    return Node(memory)


@pytest.mark.parametrize("evicts", [False, True], ids=["in the cache", "evicted"])
def test_an_fsync_that_loses_its_data_is_never_believed_the_second_time(
    node: Node, *, evicts: bool
) -> None:
    """Linux reports a failed write once; what it was about is gone, whatever fsync says later."""
    number = 0
    while True:
        medium = node.run(lambda disk: disk, fsync_fails_at=number, evicts=evicts)
        if medium.fsyncs <= number:
            break
        number += 1
    assert number > 8


@pytest.mark.parametrize(
    ("when", "errors", "step"),
    [("before", (errno.ENOSPC, errno.EROFS), 1), ("after", (errno.EIO,), 2)],
    ids=["nothing was done", "it was done"],
)
def test_after_any_single_disk_error_what_is_acknowledged_survives_a_cut(
    node: Node, when: Literal["before", "after"], errors: tuple[int, ...], step: int
) -> None:
    at = calls = 0
    while at <= calls:
        faulty: list[FaultyDisk] = []
        node.run(partial(fail, faulty, at, when, errors[at % len(errors)]))
        calls = len(faulty[0].calls)
        at += step
    assert at > 80


def fail(
    made: list[FaultyDisk],
    at: int,
    when: Literal["before", "after"],
    error: int,
    disk: VolatileDisk,
) -> Disk:
    """A disk over `disk` whose call number `at` fails; it tells how many there were."""
    made.append(FaultyDisk(fail_at=at, when=when, error=error, disk=disk))
    return made[0]
