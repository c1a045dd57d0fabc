# SPDX-License-Identifier: Apache-2.0
"""A fleet leaves its board: led by the old one, after it died, or by a person at the device."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import pytest

from fieldpost.agent.enrolment import Base, enrol
from fieldpost.agent.home import Home
from fieldpost.agent.leaving import read_links
from fieldpost.agent.loop import open_agent
from fieldpost.agent.memory import load_memory
from fieldpost.agent.runtime import Agent
from fieldpost.agent.states import State
from fieldpost.agent.world import Facts, World
from fieldpost.errors import Conflict, FieldpostError, Malformed, Untrusted
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.maker_keys import MakerKeys
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.world import START

DAY_S = 86_400
GRACE_S = 10 * DAY_S


@dataclass
class Time:
    """`clock` is what the device believes it is; only `powered` counts."""

    powered: float = 0.0
    clock: int = 0
    events: list[tuple[str, Facts]] = field(default_factory=list)

    def world(self) -> World:
        return World(
            emit=lambda event, facts: self.events.append((event, facts)),
            clock=lambda: self.clock,
            uptime=lambda: self.powered,
        )


def never() -> NoReturn:
    raise AssertionError("nothing is installed here")


@dataclass
class Fleet:
    """An old board, a new one that the maker moves to, and one device of the old."""

    old: PaperNode
    new: PaperNode
    home: Home
    time: Time = field(default_factory=Time)

    def set_up(self, **policy: object) -> None:
        known = {"urls": (self.old.url,), "link_urls": (f"{self.new.url}/links",)}
        self.old.board.maker_set(policy=known | {"grace_s": GRACE_S} | policy)
        base = self.home.root.parent / "image"
        base.write_bytes(b"the image")
        enrol(
            self.home,
            provisioning=self.old.board.provisioning(urls=(self.old.url,)),
            serial="one",
            base=Base(images={"image": base}, sequence=7, version="7"),
        )

    def move(self) -> None:
        """The maker's next link names the new board; the old board's head follows it."""
        there = self.new.board
        self.old.board.maker_set(
            policy={
                "board": there.id,
                "urls": (self.new.url,),
                "board_epoch": 0,
                "board_link": there.board_link,
                "least_size": there.checkpoint.size,
            }
        )
        there.take_over(self.old.board)

    def check_in(self, agent: Agent) -> str:
        try:
            agent.check_in()
        except Untrusted as refused:
            return refused.reason
        except FieldpostError:
            return "silence"
        return ""

    def wait_in_vain(self, agent: Agent, days: int) -> list[str]:
        """Attempts once a day; who has a clock sees the days pass on it."""
        said = []
        for _ in range(days):
            said.append(self.check_in(agent))
            self.time.powered += DAY_S
            self.time.clock += DAY_S if self.time.clock else 0
        return said


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    keys = MakerKeys()
    with (
        PaperNode(PaperBoard(maker=keys)) as old,
        PaperNode(PaperBoard(origin="new.test/1", maker=keys)) as new,
    ):
        yield Fleet(old, new, Home(tmp_path / "device"))


@pytest.fixture
def agent(fleet: Fleet) -> Iterator[Agent]:
    fleet.set_up()
    with open_agent(fleet.home, world=fleet.time.world(), boot=never) as running:
        running.start()
        assert fleet.check_in(running) == ""
        yield running


def test_a_living_board_leads_its_devices_to_the_next_one(fleet: Fleet, agent: Agent) -> None:
    """In one check-in; the new board starts anew, the running sequence does not."""
    fleet.move()
    assert fleet.check_in(agent) == ""
    belief = agent.memory.belief
    assert belief.board == fleet.new.board.id
    assert belief.size == fleet.new.board.checkpoint.size
    assert agent.memory.running == 7
    assert load_memory(fleet.home.memory).belief.board == fleet.new.board.id
    fleet.old.is_silent = True
    assert fleet.check_in(agent) == ""


@pytest.mark.parametrize("clock", [0, START], ids=["without a clock", "with a clock"])
def test_after_grace_a_dead_board_is_left_for_the_one_that_the_makers_links_name(
    fleet: Fleet, agent: Agent, clock: int
) -> None:
    fleet.time.clock = clock
    fleet.old.is_silent = True
    fleet.move()
    assert fleet.wait_in_vain(agent, 10) == ["silence"] * 10
    assert agent.memory.belief.board == fleet.old.board.id
    fleet.new.board.time = START + 10 * DAY_S
    fleet.new.board.seal()
    assert fleet.check_in(agent) == ""
    assert agent.memory.belief.board == fleet.new.board.id
    assert agent.memory.running == 7
    assert load_memory(fleet.home.memory).isolated_s == 0


def test_a_cache_that_outlives_its_board_does_not_hold_devices_for_ever(
    fleet: Fleet, agent: Agent
) -> None:
    """What it shows is genuine and older every day; from max_age on that is no check-in."""
    last = fleet.old.board.bundle()
    fleet.move()
    answer = fleet.old.answer
    fleet.old.answer = lambda path: last if "/checkin/" in path else answer(path)  # type: ignore[method-assign]
    assert fleet.wait_in_vain(agent, 18) == [""] * 8 + ["stale"] * 10
    assert fleet.check_in(agent) == ""
    assert agent.memory.belief.board == fleet.new.board.id


def test_a_cache_that_is_asked_first_does_not_hide_an_address_that_shows_what_is_fresh(
    fleet: Fleet, agent: Agent
) -> None:
    """The control is the test above, where nobody else is asked."""
    last = fleet.old.board.bundle()
    answer = fleet.old.answer
    fleet.old.answer = lambda path: last if "/checkin/" in path else answer(path)  # type: ignore[method-assign]
    with PaperNode(fleet.old.board) as other:
        agent._checkins.board.sources.replace(["http://127.0.0.1:9", fleet.old.url, other.url])
        agent._checkins.use_addresses = lambda memory: None  # type: ignore[method-assign]
        fleet.time.powered += 10 * DAY_S
        fleet.old.board.time += 10 * DAY_S
        fleet.old.board.seal()
        assert fleet.check_in(agent) == ""
    assert agent.memory.belief.timestamp == fleet.old.board.time


def test_a_clock_that_leaps_is_no_isolation(fleet: Fleet, agent: Agent) -> None:
    fleet.old.is_silent = True
    fleet.move()
    assert fleet.check_in(agent) == "silence"
    fleet.time.clock = START + 100 * GRACE_S
    assert fleet.check_in(agent) == "silence"
    assert agent.memory.isolated_s == 0


def test_any_acceptable_check_in_begins_the_count_again(fleet: Fleet, agent: Agent) -> None:
    fleet.old.is_silent = True
    fleet.wait_in_vain(agent, 9)
    fleet.old.is_silent = False
    fleet.old.board.time += 9 * DAY_S
    fleet.old.board.seal()
    assert fleet.check_in(agent) == ""
    assert load_memory(fleet.home.memory).isolated_s == 0
    fleet.old.is_silent = True
    fleet.move()
    assert fleet.wait_in_vain(agent, 10) == ["silence"] * 10
    assert agent.memory.belief.board == fleet.old.board.id


def test_the_count_survives_reboots_and_is_saved_at_most_daily(fleet: Fleet, agent: Agent) -> None:
    fleet.old.is_silent = True
    saved = []
    for _ in range(30):
        fleet.check_in(agent)
        saved.append(load_memory(fleet.home.memory).isolated_s)
        fleet.time.powered += DAY_S / 10
    counts = sorted(set(saved))
    assert len(counts) == 4
    assert all(later - earlier >= DAY_S for earlier, later in pairwise(counts[1:]))


def test_a_grace_of_0_is_never_over(fleet: Fleet) -> None:
    fleet.set_up(grace_s=0)
    fleet.old.is_silent = True
    fleet.move()
    with open_agent(fleet.home, world=fleet.time.world(), boot=never) as agent:
        agent.start()
        assert set(fleet.wait_in_vain(agent, 200)) == {"silence"}
        assert agent.memory.belief.board == fleet.old.board.id


def test_links_that_the_root_did_not_sign_are_not_followed_after_grace(
    fleet: Fleet, agent: Agent
) -> None:
    """The control is the test above, in which the root did."""
    fleet.old.is_silent = True
    thief = MakerKeys(name="thief")
    fleet.new.board.take_over(fleet.old.board)
    fleet.new.board.maker_set(signers=thief.root, policy={"board": fleet.new.board.id})
    fleet.wait_in_vain(agent, 12)
    assert agent.memory.belief.board == fleet.old.board.id
    (refused, *_) = (facts for event, facts in fleet.time.events if event == "no-way-out")
    assert "link-threshold" in str(refused["detail"])


def test_a_person_at_the_device_may_hand_the_links_over_at_once(fleet: Fleet, agent: Agent) -> None:
    fleet.old.is_silent = True
    fleet.move()
    agent.follow(fleet.new.board.maker_chain)
    assert load_memory(fleet.home.memory).belief.board == fleet.new.board.id
    assert fleet.check_in(agent) == ""
    with pytest.raises(Untrusted, match="missing-links"):
        agent.follow(fleet.new.board.maker_chain)


def test_nobody_moves_a_device_in_the_middle_of_an_update(fleet: Fleet, agent: Agent) -> None:
    agent.memory = replace(agent.memory, state=State.STAGED)
    with pytest.raises(Conflict, match="under way"):
        agent.follow(fleet.old.board.maker_chain)


@pytest.mark.parametrize("data", [b"\x80\x00", b"\xa0", b"\x81\x00", b"\x81\x61a"])
def test_a_links_file_is_an_array_of_entries(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_links(data)
    assert read_links(b"\x81\x41a") == (b"a",)
