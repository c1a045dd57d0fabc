# SPDX-License-Identifier: Apache-2.0
"""A strange clock stops writing until somebody looked."""

import pytest

from fieldpost.engines.clock_guard import ClockGuard
from fieldpost.errors import Unavailable

START = 1_800_000_000
DAY = 86_400


class Clocks:
    """A wall clock and an uptime that tests move."""

    def __init__(self) -> None:
        self.wall = START
        self.up = 0.0
        self.guard = ClockGuard(lambda: self.wall, lambda: self.up)

    def move(self, wall: int, up: float) -> None:
        self.wall += wall
        self.up += up


def test_a_clock_that_keeps_step_with_uptime_is_read() -> None:
    clocks = Clocks()
    clocks.move(10 * DAY, 10.0 * DAY)
    assert clocks.guard.read(last=START) == START + 10 * DAY


@pytest.mark.parametrize("jump", [DAY + 1, 400 * DAY])
def test_a_jump_of_more_than_a_day_stops_writing_until_it_is_accepted(jump: int) -> None:
    clocks = Clocks()
    clocks.move(jump + 5, 5.0)
    for _ in range(2):
        with pytest.raises(Unavailable, match="jumped"):
            clocks.guard.read(last=START)
    clocks.guard.accept()
    assert clocks.guard.read(last=START) == START + jump + 5


def test_a_jump_back_stops_writing_too() -> None:
    clocks = Clocks()
    clocks.move(-DAY - 1, 0.0)
    with pytest.raises(Unavailable, match="jumped"):
        clocks.guard.read(last=START - 2 * DAY)


def test_corrections_of_less_than_a_day_are_taken() -> None:
    clocks = Clocks()
    for _ in range(5):
        clocks.move(DAY // 2, 1.0)
        clocks.guard.read(last=START)


def test_a_clock_far_behind_the_last_batch_stops_writing() -> None:
    clocks = Clocks()
    assert clocks.guard.read(last=START + 600) == START
    with pytest.raises(Unavailable, match="come to 2027-01-15T08:10:01Z, and"):
        clocks.guard.read(last=START + 601)


@pytest.mark.parametrize("jump", [-DAY - 1, -3_600])
def test_a_trouble_that_lasts_is_the_same_words_every_second(jump: int) -> None:
    """The engine asks every second and tells its log what is new."""
    clocks = Clocks()
    clocks.move(jump, 0.0)
    said = set()
    for _ in range(100):
        clocks.move(1, 1.001)
        with pytest.raises(Unavailable) as refused:
            clocks.guard.read(last=START)
        said.add(str(refused.value))
    assert len(said) == 1
