# SPDX-License-Identifier: Apache-2.0
"""A device without a clock notices a freeze by the time that it was powered, whatever it is shown.

Until a check-in was verified there is no T, and powered time alone says that something is wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from fieldpost.agent.enrolment import enrol
from fieldpost.agent.home import Home
from fieldpost.agent.loop import open_agent
from fieldpost.agent.runtime import Agent
from fieldpost.agent.world import World
from fieldpost.errors import NotFound, Untrusted
from fieldpost.identity.outcome import Outcome
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.paper_node import PaperNode

MAX_AGE_S = 7 * 86_400
DAY_S = 86_400


@dataclass
class Uptime:
    """The only time that this device has."""

    seconds: float = 0.0

    def world(self) -> World:
        return World(emit=lambda *_: None, clock=lambda: 0, uptime=lambda: self.seconds)


def never() -> NoReturn:
    raise AssertionError("nothing is installed here")


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard()) as running:
        yield running


@pytest.fixture
def uptime() -> Uptime:
    return Uptime()


@pytest.fixture
def agent(tmp_path: Path, node: PaperNode, uptime: Uptime) -> Iterator[Agent]:
    home = Home(tmp_path / "device")
    enrol(home, provisioning=node.board.provisioning(), serial="one")
    home.config.write_text(f'urls = ["{node.url}"]\n')
    with open_agent(home, world=uptime.world(), boot=never) as running:
        running.start()
        yield running


def reason_of(agent: Agent) -> str:
    try:
        agent.check_in()
    except Untrusted as refused:
        return refused.reason
    except NotFound:
        return "silence"
    return ""


def test_a_bundle_that_is_replayed_every_day_does_not_hide_that_time_passes(
    agent: Agent, uptime: Uptime
) -> None:
    reasons = []
    for _ in range(9):
        reasons.append(reason_of(agent))
        uptime.seconds += DAY_S
    assert reasons == [""] * 8 + ["stale"]


def test_signatures_that_are_played_back_slowly_do_not_either(
    agent: Agent, node: PaperNode, uptime: Uptime
) -> None:
    reasons = []
    for _ in range(9):
        reasons.append(reason_of(agent))
        node.board.time += 60
        uptime.seconds += DAY_S
    assert reasons == [""] * 8 + ["stale"]


def test_fresh_signatures_end_the_staleness(agent: Agent, node: PaperNode, uptime: Uptime) -> None:
    assert reason_of(agent) == ""
    uptime.seconds += MAX_AGE_S + DAY_S
    assert reason_of(agent) == "stale"
    node.board.time += MAX_AGE_S + DAY_S
    assert reason_of(agent) == ""


def test_a_device_that_never_verified_a_check_in_says_so_after_max_age(
    agent: Agent, node: PaperNode, uptime: Uptime
) -> None:
    node.is_silent = True
    assert reason_of(agent) == "silence"
    assert not node.reports
    uptime.seconds += MAX_AGE_S + 1
    assert reason_of(agent) == "silence"
    assert [report.outcome for report in node.reports] == [Outcome.STALE]
