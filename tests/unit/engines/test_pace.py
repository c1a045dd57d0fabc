# SPDX-License-Identifier: Apache-2.0
"""Posts wait for one another where they are many, and nowhere else, and never for long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engines.pace import GATHER_S, MANY, PACE_S, Pace

STEP_S = 0.004


class Clocks:
    """Time that passes when a test says so, and how much of it the interpreter was used."""

    def __init__(self) -> None:
        self.now = 100.0
        self.used = 7.0

    def go_on(self, seconds: float, *, used: float = 0.0) -> None:
        self.now += seconds
        self.used += used


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def pace(clocks: Clocks) -> Pace:
    return Pace(uptime=lambda: clocks.now, used=lambda: clocks.used)


def test_a_lone_post_waits_for_nobody(pace: Pace) -> None:
    pace.ask()
    waits = [pace.gather_s(1), pace.admit_s(0), pace.patience_s(1)]
    pace.begin(1)
    pace.ask()

    assert [*waits, pace.gather_s(1), pace.admit_s(0), pace.patience_s(1)] == [0] * 6


def test_a_batch_of_few_waits_for_no_other(pace: Pace) -> None:
    pace.begin(MANY - 1)
    pace.ask()
    assert pace.patience_s(1) == 0
    pace.begin(MANY)
    pace.ask()
    assert pace.patience_s(1) > 0


def test_eight_clients_that_take_turns_share_a_batch(pace: Pace) -> None:
    pace.begin(8)
    pace.ask()

    assert pace.admit_s(6) > 0
    assert pace.admit_s(7) == 0


def test_a_lone_post_long_after_many_waits_for_nobody(pace: Pace, clocks: Clocks) -> None:
    pace.begin(1_000)
    pace.ask()
    clocks.go_on(PACE_S)

    assert (pace.gather_s(1), pace.admit_s(0), pace.patience_s(1)) == (0, 0, 0)


def test_many_are_gathered_for_longer_the_more_they_are(pace: Pace) -> None:
    waits = [pace.gather_s(count) for count in (MANY - 1, MANY, 64, 256, 1_000_000)]

    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0, GATHER_S)
    assert waits[1] > 0


def test_those_who_were_answered_are_expected_again_for_a_moment(
    pace: Pace, clocks: Clocks
) -> None:
    pace.begin(256)
    while_it_is_written = pace.gather_s(1)
    clocks.go_on(30.0)
    pace.ask()
    just_answered = pace.gather_s(1)
    clocks.go_on(PACE_S)

    assert while_it_is_written == just_answered > 0
    assert pace.gather_s(1) == 0


def test_no_more_than_half_is_read_at_once(pace: Pace) -> None:
    pace.begin(256)

    assert pace.most_to_read(1) == 128
    assert pace.most_to_read(600) == 300


def test_few_are_read_together(pace: Pace) -> None:
    assert pace.most_to_read(20) >= 20


def test_a_batch_begins_when_half_is_verified(pace: Pace) -> None:
    pace.begin(256)
    pace.ask()

    assert pace.patience_s(127) == pytest.approx(PACE_S)
    assert pace.patience_s(128) == 0


def test_a_batch_begins_when_those_answered_are_read_again(pace: Pace) -> None:
    pace.begin(256)
    pace.ask()

    assert 0 < pace.admit_s(128) <= STEP_S
    assert pace.admit_s(224) == 0


def test_of_very_many_a_part_suffices(pace: Pace) -> None:
    pace.begin(5_000)
    pace.ask()

    assert (pace.patience_s(199) > 0, pace.patience_s(200)) == (True, 0)
    assert (pace.admit_s(511) > 0, pace.admit_s(512)) == (True, 0)


def test_nobody_is_waited_for_who_leaves_the_interpreter_idle(pace: Pace, clocks: Clocks) -> None:
    pace.begin(256)
    pace.ask()
    waits = []
    for used in (STEP_S, STEP_S, 0.0):
        waits.append(pace.admit_s(128))
        clocks.go_on(STEP_S, used=used)

    assert all(waits)
    assert pace.admit_s(128) == 0


@given(
    flow=st.integers(0, 10_000),
    steps=st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 2)), min_size=1, max_size=200),
)
def test_however_busy_it_is_the_waits_of_a_batch_come_to_an_end(
    flow: int, steps: list[tuple[int, float]]
) -> None:
    clocks = Clocks()
    pace = Pace(uptime=lambda: clocks.now, used=lambda: clocks.used)
    pace.begin(flow)
    pace.ask()
    waited = 0.0
    for read, share in steps:
        wait = pace.admit_s(read)
        waited += wait
        clocks.go_on(wait, used=wait * share)
    waited += pace.patience_s(1)

    assert waited <= PACE_S + 1e-9
