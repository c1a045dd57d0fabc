# SPDX-License-Identifier: Apache-2.0
"""Clocks that are wrong, of one operator and of all, and servers that stand still.

What a device without a clock cannot see is stated here as a test, not hidden.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldpost.errors import Untrusted
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.world import BoardWorld
from tests.attacks.paper_agent import AgentOnPaper
from tests.attacks.paper_device import DAY, Device, sequences

YEARS = 50 * 366 * DAY


@pytest.fixture
def board() -> PaperBoard:
    board = PaperBoard(operators=4, witnesses=2)
    board.offer(board.release(11))
    return board


@pytest.fixture
def device(board: PaperBoard) -> Device:
    device = Device(board)
    device.check_in(board.bundle())
    return device


# --- clocks of cosigners ---


@pytest.mark.parametrize("wrong", [-YEARS, YEARS], ids=["behind", "ahead"])
def test_one_operators_bad_clock_moves_no_time(
    board: PaperBoard, device: Device, wrong: int
) -> None:
    """With a clock and without: T is what a whole quorum vouches for."""
    board.seal()
    one = board.cosignatures(timestamp=max(1, board.time + wrong), operators=1, witnesses=0)
    bundle = board.bundle_with([*one, *board.cosignatures()[1:]])
    assert device.check_in(bundle, now=None).timestamp == board.time
    assert device.check_in(bundle).timestamp == board.time
    with without(Defence.QUORUM):
        newest = max(board.time, board.time + wrong)
        assert device.check_in(bundle, now=None).timestamp == newest


def test_all_clocks_behind_make_the_board_stale_and_nothing_worse(
    board: PaperBoard, device: Device
) -> None:
    board.offer(board.release(12))
    late = board.bundle(timestamp=board.time - 30 * DAY)
    verified = device.check_in(late)
    assert verified.stale
    with without(Defence.STALENESS):
        assert not device.check_in(late).stale


def test_all_clocks_ahead_are_nothing_to_a_device_with_a_clock(
    board: PaperBoard, device: Device
) -> None:
    board.offer(board.release(12))
    device.refuses(board.bundle(timestamp=board.time + DAY), "no-quorum")
    assert sequences(device.check_in(board.bundle())) == [12]


def test_all_clocks_ahead_deceive_a_device_without_one_until_the_board_grows(
    board: PaperBoard, device: Device
) -> None:
    """What remains: at that size it takes no earlier T; the next entry frees it."""
    device.check_in(board.bundle(timestamp=board.time + YEARS), now=None)
    assert device.belief.timestamp == board.time + YEARS
    device.refuses(board.bundle(), "not-newer", now=None)
    board.offer(board.release(12))
    assert sequences(device.check_in(board.bundle(), now=None)) == [12]
    assert device.belief.timestamp == board.time


def test_a_proposers_bad_clock_never_turns_a_boards_time_back() -> None:
    world = BoardWorld.with_releases(11)
    before = world.state.last.time
    world.accept(world.maker.rollout_set(), time=before - YEARS)
    assert world.state.last.time == before


# --- servers that stand still, and the devices that ask them ---


@pytest.fixture
def node(tmp_path: Path) -> Iterator[PaperNode]:
    with PaperNode(PaperBoard()) as running:
        yield running


@pytest.fixture
def agent(node: PaperNode, tmp_path: Path) -> AgentOnPaper:
    return AgentOnPaper(tmp_path, node)


def test_a_frozen_server_installs_nothing_on_a_newcomer_with_a_clock(
    agent: AgentOnPaper, node: PaperNode
) -> None:
    """A device fresh from its box is shown the world of last month, with an old release in it."""
    node.publish(2, b"last month's")
    agent.clock.now = node.board.time + 30 * DAY
    assert agent.live() == "stale"
    assert agent.runs() == (1, agent.old)
    assert [report.outcome for report in node.reports] == ["stale"]
    with without(Defence.STALENESS, Defence.AGE):
        assert agent.live() == ""
    assert agent.runs() == (2, b"last month's")


def test_what_a_newcomer_without_a_clock_cannot_see(agent: AgentOnPaper, node: PaperNode) -> None:
    """What remains: it takes last month's world for today's, until max_age of powered time."""
    node.publish(2, b"last month's")
    agent.clock.is_set = False
    assert agent.live() == ""
    assert agent.runs() == (2, b"last month's")
    with agent.awake() as awake:
        awake.check_in()
        agent.clock.pause(8 * DAY)
        node.publish(3, b"of last month, too")
        with pytest.raises(Untrusted, match="stale"):
            awake.check_in()
    assert agent.runs() == (2, b"last month's")
    # Powered time is counted from each start, so whoever can restart a device buys time as well.
    assert agent.live() == ""


def test_a_device_without_a_clock_never_goes_back(agent: AgentOnPaper, node: PaperNode) -> None:
    agent.clock.is_set = False
    old_world = node.board.fork()
    node.publish(2, b"two")
    assert agent.live() == ""
    node.board = old_world
    assert agent.live() == "not-newer"
    assert agent.runs() == (2, b"two")


def test_an_agent_that_was_shown_the_future_takes_releases_again_once_clocks_are_right(
    agent: AgentOnPaper, node: PaperNode
) -> None:
    """All cosigners' clocks were wrong for an hour; it has no clock, and runs all the time."""
    agent.clock.is_set = False
    right = node.board.time
    with agent.awake() as awake:
        node.board.time = right + YEARS
        awake.check_in()
        node.board.time = right + DAY
        node.publish(2, b"two")
        with pytest.raises(agent.rebooted):
            awake.check_in()
    assert agent.live(rebooted=True) == ""
    assert agent.runs() == (2, b"two")


def test_cosigners_whose_clocks_merely_differ_win_no_powered_time(
    agent: AgentOnPaper, node: PaperNode
) -> None:
    """Who plays recorded states back, each a little older than the one before, freezes nobody."""
    agent.clock.is_set = False
    start = node.board.time
    reasons = []
    with agent.awake() as awake:
        for day in range(9):
            node.board.time = start - 60 * day
            node.board.seal()
            try:
                awake.check_in()
                reasons.append("")
            except Untrusted as refused:
                reasons.append(refused.reason)
            agent.clock.pause(DAY)
    assert reasons == [""] * 7 + ["stale"] * 2
