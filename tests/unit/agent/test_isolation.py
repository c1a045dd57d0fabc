# SPDX-License-Identifier: Apache-2.0
"""Powered time without a board is counted, also where nothing is powered for a day at a time.

Power cycles are simulated: what was not saved when one ends is gone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.agent.enrolment import enrol
from fieldpost.agent.home import Home
from fieldpost.agent.isolation import SAVE_AFTER_S, Isolation
from fieldpost.agent.loop import open_agent, run_forever
from fieldpost.agent.memory import Memory, load_memory
from fieldpost.agent.world import World
from fieldpost.checkin.belief import believe
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.maker_keys import MakerKeys
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.world import START

HOUR_S, DAY_S = 3_600, 86_400
BELIEF, _ = believe(PaperBoard().provisioning())


@dataclass
class Life:
    """Cycles of `powered_s`, one a day, that end with a cut or in order; tries every 10 minutes."""

    powered_s: int
    has_clock: bool = False
    ends_in_order: bool = False
    memory: Memory = field(default_factory=lambda: Memory(belief=BELIEF, running=1))
    day: int = 0
    saved_at: list[int] = field(default_factory=list)

    def cycle(self) -> None:
        start, uptime = START + self.day * DAY_S, 0
        world = World(
            emit=lambda *_: None,
            clock=lambda: start + uptime if self.has_clock else uptime,
            uptime=lambda: float(uptime),
        )
        memory = replace(self.memory, boot_count=self.memory.boot_count + 1)
        self.memory = memory
        counter = Isolation(world=world, least_time=START, isolated_s=memory.isolated_s)
        while uptime < self.powered_s:
            memory, save = counter.note_failure(memory)
            self.keep(memory, start + uptime, save=save)
            uptime += 600
        if self.ends_in_order:
            memory, save = counter.note_end(memory)
            self.keep(memory, start + uptime, save=save)
        self.day += 1

    def keep(self, memory: Memory, now: int, *, save: bool) -> None:
        if save:
            self.memory = memory
            self.saved_at.append(now)

    def live(self, days: int) -> float:
        """The share of the powered time that was counted."""
        for _ in range(days):
            self.cycle()
        return self.memory.isolated_s / (days * self.powered_s)


@pytest.mark.parametrize("has_clock", [False, True], ids=["no clock", "clock"])
@pytest.mark.parametrize("powered_s", [HOUR_S, 2 * HOUR_S, 5 * HOUR_S, 8 * HOUR_S, 16 * HOUR_S])
def test_a_device_that_is_cut_off_every_day_counts_a_good_part_of_its_time(
    powered_s: int, has_clock: bool
) -> None:
    life = Life(powered_s, has_clock=has_clock)
    assert life.live(60) > 0.12
    assert len(life.saved_at) <= 60


@pytest.mark.parametrize("has_clock", [False, True], ids=["no clock", "clock"])
def test_a_device_that_ends_in_order_counts_more(has_clock: bool) -> None:
    cut, ended = Life(5 * HOUR_S, has_clock), Life(5 * HOUR_S, has_clock, ends_in_order=True)
    assert ended.live(60) > cut.live(60)


@given(
    powered_s=st.integers(600, 3 * DAY_S),
    days=st.integers(1, 20),
    has_clock=st.booleans(),
    ends_in_order=st.booleans(),
)
def test_more_than_was_powered_is_never_counted_and_a_clock_keeps_saves_a_day_apart(
    powered_s: int, days: int, has_clock: bool, ends_in_order: bool
) -> None:
    life = Life(powered_s, has_clock, ends_in_order)
    assert life.live(days) <= 1
    # A cycle saves once by itself and once at its end, and after every day of it.
    assert len(life.saved_at) <= days * (2 + powered_s // DAY_S)
    if has_clock and powered_s < DAY_S:
        assert all(later - earlier >= DAY_S for earlier, later in pairwise(life.saved_at))


def test_every_cycle_saves_at_another_moment_so_that_short_ones_are_met_too() -> None:
    assert sorted(set(SAVE_AFTER_S)) == list(SAVE_AFTER_S)
    life = Life(2 * HOUR_S)
    counts = set()
    for _ in range(len(SAVE_AFTER_S)):
        before = life.memory.isolated_s
        life.cycle()
        counts.add(life.memory.isolated_s - before)
    # 2 h of power end before the longer ones; attempts come every ten minutes.
    assert counts == {0, 1_200, 1_800, 3_600}


# --- a whole agent ---


class PowerCut(BaseException):
    """Somebody pulled the plug."""


def never() -> NoReturn:
    raise AssertionError("nothing is installed here")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A device whose board is dead, and whose maker moved to another."""
    keys = MakerKeys()
    with (
        PaperNode(PaperBoard(maker=keys)) as dead,
        PaperNode(PaperBoard(origin="next.test/1", maker=keys)) as following,
    ):
        known = {"urls": (dead.url,), "link_urls": (f"{following.url}/links",)}
        dead.board.maker_set(policy=known | {"grace_s": 6 * HOUR_S})
        home = Home(tmp_path / "device")
        enrol(home, provisioning=dead.board.provisioning(urls=(dead.url,)), serial="one")
        there = following.board
        dead.board.maker_set(
            policy={
                "board": there.id,
                "urls": (following.url,),
                "board_epoch": 0,
                "board_link": there.board_link,
                "least_size": there.checkpoint.size,
            }
        )
        there.take_over(dead.board)
        dead.is_silent = True
        yield home


def run_for(home: Home, powered_s: int, ending: type[BaseException]) -> None:
    """One power cycle of `agent run`, which ends in the middle of a pause."""
    powered = 0.0

    def pause(seconds: float) -> None:
        nonlocal powered
        powered += seconds
        if powered > powered_s:
            raise ending

    world = World(
        emit=lambda *_: None,
        clock=lambda: int(powered),
        uptime=lambda: powered,
        chance=lambda: 0.5,
        pause=pause,
    )
    with pytest.raises(ending), open_agent(home, world=world, boot=never) as agent:
        run_forever(agent, world)


@pytest.mark.parametrize(("ending", "most_cycles"), [(PowerCut, 40), (SystemExit, 5)])
def test_a_device_that_is_on_for_two_hours_a_day_leaves_a_dead_board(
    home: Home, ending: type[BaseException], most_cycles: int
) -> None:
    """6 h of grace. Without any saving within a day it would stay for ever."""
    old = load_memory(home.memory).belief.board
    cycles = 0
    while load_memory(home.memory).belief.board == old:
        run_for(home, 2 * HOUR_S, ending)
        cycles += 1
        assert cycles <= most_cycles
    assert cycles > 3
    assert load_memory(home.memory).isolated_s == 0
