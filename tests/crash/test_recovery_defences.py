# SPDX-License-Identifier: Apache-2.0
"""What recovery rests on, each with a control: without it a power cut does the harm.

Every test runs twice, the second time without the defence, and tells what comes of it.
"""

from contextlib import suppress
from pathlib import Path
from random import Random
from shutil import copytree, rmtree

import pytest

from fieldpost.engines.recovery import open_board
from fieldpost.errors import Misconfigured
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.power_cuts import PowerCuts
from fieldpost.testing.volatile_disk import VolatileDisk
from tests.crash.device_line import (
    NEW,
    OLD,
    Clock,
    boots,
    judge_sick,
    live,
    set_up,
)
from tests.crash.node_line import NodeLine, judge
from tests.crash.test_node_power_cuts import Border

pytestmark = pytest.mark.crash


def new_node(folder: Path) -> NodeLine:
    """A new board."""
    folder.mkdir(parents=True)
    line = NodeLine(folder, VolatileDisk(folder))
    line.create()
    return line


def with_maker(line: NodeLine) -> None:
    """It runs, and has a maker with a class."""
    line.start()
    line.post(line.world.maker.registration())
    line.post(line.world.maker.class_set())


def exhaust(line: NodeLine, left: Path) -> None:
    for _ in judge(line, left):
        pass


# --- the largest signed size ---


def signed_twice(memory: Path) -> list[str]:
    """The power goes, and log and database come back from a copy of before; the keys do not."""
    line = new_node(memory / "data")
    with_maker(line)
    copy = Path(copytree(line.data, memory / "copy"))
    post, refused = line.world.maker.release_publish(1), list[Path]()

    def look(left: Path) -> None:
        rmtree(left / "log")
        copytree(copy / "log", left / "log")
        for path in left.glob("state.db*"):
            path.unlink()
        try:
            writer = open_board(left, disk=VolatileDisk(left))
        except Misconfigured:
            refused.append(left)
            return
        # The same post, a second later: that is another history already.
        writer.commit([post], time=line.time + 1)
        head = writer.publish(line.time + 1).checkpoint
        writer.close()
        shown = line.promises.shown.get(head.size, head.root)
        assert head.root == shown, f"a second history of size {head.size}"

    cuts = PowerCuts(line.disk, memory, look, chance=Random(1))  # type: ignore[arg-type]
    line.post(post)
    cuts.promise()
    line.stop()
    assert cuts.judged > 15
    assert refused or cuts.failures
    return cuts.failures


def test_a_node_that_lost_its_end_in_a_power_cut_signs_no_second_history(memory: Path) -> None:
    assert signed_twice(memory / "with") == []
    with without(Defence.SIGNED_MARK):
        failures = signed_twice(memory / "without")
    assert failures
    assert all("a second history of size 8" in failure for failure in failures)


# --- what a torn batch left ---


def started_after_torn(memory: Path) -> list[str]:
    """After the cut other posts come than those of the batch that was cut off."""
    data = memory / "data"
    data.mkdir(parents=True)
    border = Border(data)
    line = border.line
    before, torn = line.engine.published().size, 0

    def look(left: Path) -> None:
        nonlocal torn
        # Of the two bundles of the batch the first is there, and nobody signed it yet.
        entries = left / "log" / "tile" / "entries"
        if not (entries / "000").exists() or (entries / "001.p").exists():
            return
        torn += 1
        writer = open_board(left, disk=VolatileDisk(left))
        assert writer.log.size == before
        writer.commit(border.posts[:1], time=line.time + 1)
        writer.publish(line.time + 1)
        shown = writer.log.compact_range().root()
        writer.close()
        again = open_board(left, disk=VolatileDisk(left))
        again.close()
        assert again.log.compact_range().root() == shown

    cuts = PowerCuts(border.disk, memory, look, chance=Random(2))
    line.post(*border.posts)
    line.stop()
    assert torn > 3
    return cuts.failures


def test_what_a_torn_batch_left_is_no_part_of_the_next_one(memory: Path) -> None:
    assert started_after_torn(memory / "with") == []
    with without(Defence.TORN_BATCH):
        failures = started_after_torn(memory / "without")
    assert any("two different bundles" in failure for failure in failures)


# --- the order of a batch ---


def cut_in_batch(memory: Path, *off: Defence) -> list[str]:
    """A node that runs without these defences, judged at every change of one batch."""
    line = new_node(memory / "data")
    with without(*off):
        with_maker(line)
        cuts = PowerCuts(
            line.disk,  # type: ignore[arg-type]
            memory,
            lambda left: exhaust(line, left),
            chance=Random(3),
            by_lot=1,
        )
        line.post(line.world.maker.release_publish(1))
        cuts.promise()
        line.stop()
    assert cuts.judged > 8
    return cuts.failures


@pytest.mark.parametrize(
    ("order", "harm"),
    [
        (Defence.LOG_BEFORE_STATE, "the log lost its end"),
        (Defence.LOG_BEFORE_CHECKPOINT, "largest-signed says 8"),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Defence) else "",
)
def test_a_batch_is_in_the_log_before_anything_tells_of_it(
    memory: Path, order: Defence, harm: str
) -> None:
    assert cut_in_batch(memory / "with") == []
    failures = cut_in_batch(memory / "without", order)
    assert any(harm in failure for failure in failures)


# --- the order of a trial ---


def kept_by_cut(memory: Path) -> list[tuple[bytes, ...]]:
    """An image that is ill is installed, tried and taken back; what devices keep that are cut off
    on the way, where that is not the image of before."""
    root = memory / "device"
    memory.mkdir()
    with PaperNode(PaperBoard()) as node:
        node.publish(2, NEW)
        set_up(root, node, health="false")
        clock, seen = Clock(node.board.time), set[tuple[bytes, bool]]()
        disk, kept = VolatileDisk(root), list[tuple[bytes, ...]]()

        def look(left: Path) -> None:
            # Only what the slots make of it matters here, and there are few such states.
            state = (boots(left)[0], (left / "slots" / "trial.cbor").exists())
            if state not in seen:
                seen.add(state)
                with suppress(AssertionError):
                    judge_sick(left, node, time=clock.now)
                    return
                kept.append(boots(left))

        cuts = PowerCuts(disk, memory, look, chance=Random(4), by_lot=0)
        live(root, clock, disk)
        assert boots(root) == (OLD,)
        assert cuts.failures == []
        assert cuts.judged > 40
        return kept


@pytest.mark.parametrize(
    "order",
    [Defence.NOTE_BEFORE_TRIAL, Defence.NOTE_UNTIL_REVERTED],
    ids=lambda order: order.name.lower(),
)
def test_an_image_boots_only_while_it_is_noted_what_to_go_back_to(
    memory: Path, order: Defence
) -> None:
    assert kept_by_cut(memory / "with") == []
    with without(order):
        assert kept_by_cut(memory / "without") == [(NEW,)]
