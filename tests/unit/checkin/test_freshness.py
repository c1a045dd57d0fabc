# SPDX-License-Identifier: Apache-2.0
"""When a clock is a clock, and when a state is stale."""

import pytest

from fieldpost.checkin.freshness import is_stale, trusted_clock


@pytest.mark.parametrize(
    ("now", "trusted"),
    [(None, None), (0, None), (99, None), (100, 100), (101, 101), (10**9, 10**9)],
)
def test_a_clock_below_what_is_known_is_no_clock(now: int | None, trusted: int | None) -> None:
    assert trusted_clock(now, timestamp=100, least_time=50) == trusted
    assert trusted_clock(now, timestamp=50, least_time=100) == trusted


def test_stale_begins_after_max_age() -> None:
    assert not is_stale(1_000, now=1_060, max_age_s=60)
    assert is_stale(1_000, now=1_061, max_age_s=60)
    assert not is_stale(1_000, now=None, max_age_s=60)
