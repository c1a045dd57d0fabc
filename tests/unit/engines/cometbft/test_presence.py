# SPDX-License-Identifier: Apache-2.0
"""A node says who is missing, as soon as too few operators answer, and not before."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from fieldpost.engines.cometbft.outstanding import LATE_S, Outstanding
from fieldpost.engines.cometbft.presence import BEHIND_S, Presence
from fieldpost.engines.intake import Waiting
from fieldpost.engines.verification import ReadPost
from fieldpost.errors import Malformed, Unavailable
from fieldpost.testing.bundles import PaperBoard

RECORD = PaperBoard(operators=4).board_record


def said(presence: Presence) -> str:
    return presence.trouble or ""


@pytest.fixture
def presence() -> Presence:
    presence = Presence()
    presence.expect(RECORD)
    return presence


def test_one_of_four_that_is_away_is_no_trouble(presence: Presence) -> None:
    presence.missed("operator1")
    assert not said(presence)
    assert not presence.is_here("operator1")


def test_two_of_four_that_are_away_are_named_and_how_many_are_needed(presence: Presence) -> None:
    presence.missed("operator1")
    presence.missed("operator3")
    assert said(presence).startswith("2 of 4 operators answer each other, 3 are needed")
    assert "ask operator1, operator3" in said(presence)
    presence.heard("operator3")
    assert not said(presence)


def test_a_node_that_stands_still_while_the_others_go_on_says_so() -> None:
    """One that lies about its size makes nobody else unready."""
    now = 0.0
    presence = Presence(lambda: now)
    presence.expect(RECORD)
    presence.publish(10)
    presence.shows("operator1", 1_000_000)
    now = 2 * BEHIND_S
    assert not said(presence)
    for name in ("operator2", "operator3"):
        presence.shows(name, 14)
    assert not said(presence)
    now += BEHIND_S
    assert "published 14 entries 15 s ago, and this node 10" in said(presence)
    presence.publish(14)
    assert not said(presence)


def test_a_node_that_follows_under_load_is_never_behind(presence: Presence) -> None:
    now = 0.0
    presence = Presence(lambda: now)
    presence.expect(RECORD)
    for size in range(2, 200, 2):
        for name in ("operator1", "operator2", "operator3"):
            presence.shows(name, size)
        now += 1.0
        presence.publish(size)
        assert not said(presence)


def test_who_left_the_board_is_not_missed(presence: Presence) -> None:
    for name in ("operator0", "operator1"):
        presence.missed(name)
    presence.expect(replace(RECORD, operators=RECORD.operators[1:]))
    assert said(presence)  # operator1, of three of whom three are needed
    presence.heard("operator1")
    assert not said(presence)


def test_a_post_that_waits_too_long_is_trouble_until_it_is_answered() -> None:
    outstanding = Outstanding()
    read = ReadPost(b"post", sha256(b"post").digest(), Malformed("no post"))
    nobody: Any = None
    waiting = Waiting(read, nobody, 0)
    outstanding.add([waiting], now=100.0)
    assert outstanding.trouble(100.0 + LATE_S - 1) is None
    assert "too few operators answer" in (outstanding.trouble(100.0 + LATE_S) or "")
    outstanding.failed([waiting.read.digest], Unavailable("gone"))
    assert outstanding.trouble(100.0 + LATE_S) is None
