# SPDX-License-Identifier: Apache-2.0
"""A node says who is missing, as soon as too few operators answer, and not before."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from fieldpost.engines.cometbft.outstanding import LATE_S, Outstanding
from fieldpost.engines.cometbft.presence import Presence
from fieldpost.engines.intake import Waiting
from fieldpost.engines.verification import ReadPost
from fieldpost.errors import Malformed, Unavailable
from fieldpost.testing.bundles import PaperBoard

RECORD = PaperBoard(operators=4).board_record


@pytest.fixture
def presence() -> Presence:
    presence = Presence()
    presence.expect(RECORD)
    return presence


def test_one_of_four_that_is_away_is_no_trouble(presence: Presence) -> None:
    presence.missed("operator1")
    assert presence.trouble is None
    assert not presence.is_here("operator1")


def test_two_of_four_that_are_away_are_named_and_how_many_are_needed(presence: Presence) -> None:
    presence.missed("operator1")
    presence.missed("operator3")
    said = presence.trouble or ""
    assert said.startswith("2 of 4 operators answer each other, 3 are needed")
    assert "ask operator1, operator3" in said
    presence.heard("operator3")
    assert presence.trouble is None


def test_who_left_the_board_is_not_missed(presence: Presence) -> None:
    for name in ("operator0", "operator1"):
        presence.missed(name)
    presence.expect(replace(RECORD, operators=RECORD.operators[1:]))
    assert presence.trouble is not None  # operator1, of three of whom three are needed
    presence.heard("operator1")
    assert presence.trouble is None


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
