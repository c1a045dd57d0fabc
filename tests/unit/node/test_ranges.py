# SPDX-License-Identifier: Apache-2.0
"""Byte ranges: one, or the whole, or a refusal; never bytes that are not there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.node.api.problems import BadRange
from fieldpost.node.api.ranges import parse_range

CASES: dict[str, tuple[int, int] | None] = {
    "bytes=0-3": (0, 4),
    "bytes=4-": (4, 10),
    "bytes=4-99": (4, 10),
    "bytes=-3": (7, 10),
    "bytes=-99": (0, 10),
    "bytes=9-9": (9, 10),
    "bytes=5-2": None,
    "bytes=-": None,
    "bytes=0-1,3-4": None,
    "items=0-1": None,
    "": None,
}


@pytest.mark.parametrize("header", CASES)
def test_a_range_is_what_the_standard_says(header: str) -> None:
    assert parse_range(header, size=10) == CASES[header]


def test_no_header_is_the_whole() -> None:
    assert parse_range(None, size=10) is None


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_outside_is_refused(header: str) -> None:
    with pytest.raises(BadRange):
        parse_range(header, size=10)


@given(st.text(alphabet="bytes=0123456789-, ", max_size=20), st.integers(1, 1000))
def test_whatever_is_asked_only_bytes_that_are_there_are_given(header: str, size: int) -> None:
    try:
        found = parse_range(header, size=size)
    except BadRange:
        return
    if found is not None:
        start, end = found
        assert 0 <= start < end <= size
