# SPDX-License-Identifier: Apache-2.0
"""A node on a disk that forgets what was not fsynced, cut off at every change that it makes."""

import sqlite3
from contextlib import closing
from functools import partial
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from random import Random
from shutil import copytree, rmtree

import pytest

from fieldpost.engines.recovery import open_board
from fieldpost.testing.power_cuts import PowerCuts
from fieldpost.testing.torn_database import read_database, torn_databases, write_database
from fieldpost.testing.volatile_disk import VolatileDisk
from tests.crash.node_line import NodeLine, judge

pytestmark = pytest.mark.crash


# A batch from here crosses the border of a tile, so that full, partial and higher files are made.
POSTS_BEFORE = 236
POSTS = 20


@pytest.fixture
def data(memory: Path) -> Path:
    folder = memory / "data"
    folder.mkdir()
    return folder


def exhaust(line: NodeLine, left: Path) -> None:
    for _ in judge(line, left):
        pass


def test_no_power_cut_in_a_nodes_life_takes_back_what_it_promised(memory: Path, data: Path) -> None:
    """From the first start to uploads nothing acknowledged is lost, no second history signed."""
    disk = VolatileDisk(data)
    line = NodeLine(data, disk)
    cuts = PowerCuts(disk, memory, lambda left: exhaust(line, left), chance=Random(1))
    for step in (
        line.create,
        line.start,
        lambda: line.post(line.world.maker.registration()),
        lambda: line.post(line.world.maker.class_set()),
        line.cosign_late,
        lambda: line.post(*(line.world.maker.release_publish(n) for n in (1, 2))),
        lambda: line.post(line.board_set(epoch_s=30)),
        line.recosign,
        lambda: line.upload(bytes(range(256)) * 20),
        lambda: line.save_manifest(b"one signature"),
        lambda: line.save_manifest(b"two signatures, which is more"),
        lambda: line.upload(b"a second blob, below the same folders"),
    ):
        step()
        cuts.promise()
    line.stop()
    assert cuts.failures == []
    assert cuts.judged > 200


class Border:
    """A node just before the border of a tile, and the posts that lead across it."""

    def __init__(self, data: Path) -> None:
        self.disk = VolatileDisk(data)
        self.line = NodeLine(data, self.disk)
        self.line.create()
        self.line.start()
        maker = self.line.world.maker
        self.line.post(maker.registration())
        self.line.post(maker.class_set())
        self.line.post(*(self._lot(n) for n in range(POSTS_BEFORE)))
        self.posts = [self._lot(POSTS_BEFORE + n) for n in range(POSTS)]

    def _lot(self, number: int) -> bytes:
        root = sha256(number.to_bytes(4, "big")).digest()
        return self.line.world.maker.lot_enrol(count=1, root=root)


def test_no_power_cut_in_a_batch_across_a_tile_leaves_half_of_it(memory: Path, data: Path) -> None:
    """Before or after the batch, never between; with and without a state database to begin with."""
    border = Border(data)
    line, sizes = border.line, set[int]()
    before = line.engine.published().size

    def look(left: Path) -> None:
        sizes.add(size_of(left))
        exhaust(line, left)
        if cuts.judged % 8 == 0:
            for path in left.glob("state.db*"):
                path.unlink()
            exhaust(line, left)

    cuts = PowerCuts(border.disk, memory, look, chance=Random(2), by_lot=3)
    line.post(*border.posts)
    cuts.promise()
    line.stop()
    assert cuts.failures == []
    assert cuts.judged > 80
    assert (min(sizes), max(sizes)) == (before, line.engine.published().size)


def size_of(data: Path) -> int:
    """How many entries the next start finds."""
    copy = copytree(data, data.with_name(f"{data.name}-looked-at"))
    writer = open_board(copy, disk=VolatileDisk(copy))
    writer.close()
    rmtree(copy)
    return writer.log.size


def test_a_second_power_cut_during_recovery_takes_back_nothing_either(
    memory: Path, data: Path
) -> None:
    """The restart after a cut is itself cut off at every change that it makes."""
    border = Border(data)
    line, lefts = border.line, list[Path]()

    def keep(left: Path) -> None:
        # Those of the middle of the batch have the most to finish or to take back.
        if cuts.judged % 25 == 0:
            lefts.append(copytree(left, memory / f"kept-{cuts.judged}"))

    cuts = PowerCuts(border.disk, memory, keep, chance=Random(3))
    line.post(*border.posts)
    line.stop()
    judged = 0
    for number, left in enumerate(lefts):
        disk = VolatileDisk(left)
        second = line.again(left, disk)
        # The batch was under way: nobody has its receipts.
        for post in border.posts:
            del second.promises.receipts[post]
        del second.promises.shown[line.engine.published().size]
        folder = memory / f"again-{number}"
        folder.mkdir()
        again = PowerCuts(disk, folder, partial(exhaust, second), chance=Random(number), by_lot=0)
        second.start()
        again.promise()
        second.stop()
        assert again.failures == []
        judged += again.judged
    assert len(lefts) > 4
    assert judged > 100


def test_a_torn_transaction_of_the_state_is_finished_from_the_log(memory: Path, data: Path) -> None:
    """The log is durable before the transaction begins, so the batch is always there."""
    line, state, torn = NodeLine(data, VolatileDisk(data)), data / "state.db", 0
    line.create()
    line.start()
    line.post(line.world.maker.registration())
    line.post(line.world.maker.class_set())
    files = read_database(state)
    line.post(*(line.world.maker.release_publish(n) for n in (1, 2, 3)))
    commit = read_database(state)
    with closing(sqlite3.connect(state)) as other:
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
        checkpointed = read_database(state)
    line.post(line.world.maker.release_publish(4))
    begun_anew = read_database(state)
    for moment, (before, after) in enumerate(pairwise((files, commit, checkpointed, begun_anew))):
        assert before != after
        for left in torn_databases(before, after, chance=Random(moment)):
            target = copytree(data, memory / f"{moment}-{torn}")
            write_database(target / "state.db", left)
            exhaust(line, target)
            rmtree(target)
            torn += 1
    line.stop()
    assert torn > 100
