# SPDX-License-Identifier: Apache-2.0
"""What is remembered of a device's reports, and what contradicts it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.errors import Unavailable
from fieldpost.fleet.clones import NOTHING, REMEMBERED, clone_sign, remember, told
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report

# Few moments, so that they meet, and some of every length that CBOR gives to a number.
numbers = st.sampled_from([0, 1, 2, 23, 24, 255, 256, 65_536, 2**32, 2**63 - 1])
moments = st.tuples(numbers, numbers)
stories = st.tuples(moments, st.sampled_from([b"one", b"another"]))


def report(order: tuple[int, int], *, size: int | None = None) -> Report:
    return Report(
        board="board.test/1#" + "0" * 32,
        device=bytes(32),
        boot_count=order[0],
        counter=order[1],
        components=(),
        outcome=Outcome.CHECKED_IN,
        head=None if size is None else (size, bytes(32), 1),
    )


def past_of(told_of: list[tuple[tuple[int, int], bytes]]) -> bytes:
    past = NOTHING
    for order, claims in told_of:
        past = remember(past, told(report(order), claims))
    return past


@given(st.lists(stories, max_size=2 * REMEMBERED))
def test_the_newest_sixteen_are_remembered_in_order(
    told_of: list[tuple[tuple[int, int], bytes]],
) -> None:
    kept: Any = cbor.decode(past_of(told_of))
    assert [(boot, counter) for boot, counter, _ in kept] == [o for o, _ in told_of][-REMEMBERED:]


@given(st.lists(stories, max_size=2 * REMEMBERED), stories)
def test_only_another_report_of_one_moment_that_is_remembered_is_a_contradiction(
    told_of: list[tuple[tuple[int, int], bytes]], now: tuple[tuple[int, int], bytes]
) -> None:
    order, claims = now
    sign = clone_sign(
        report(order), told(report(order), claims), newest=order, size=None, past=past_of(told_of)
    )
    two_stories = any(o == order and c != claims for o, c in told_of[-REMEMBERED:])
    assert (sign is not None) == two_stories


def test_a_moment_that_stands_in_a_digest_by_chance_is_no_contradiction() -> None:
    """The bytes of [1, 2, 8 bytes…] are searched for first; a digest may hold them."""
    digest = b"\x83\x01\x02\x48" + bytes(4)
    past = remember(NOTHING, cbor.encode((7, 7, digest)))
    now = told(report((1, 2)), b"claims")
    assert now[:4] in past
    assert clone_sign(report((1, 2)), now, newest=(1, 1), size=None, past=past) is None


def test_a_past_that_was_not_written_here_is_told_and_not_cut_at_random() -> None:
    strange = bytes((0x80 + REMEMBERED,)) + b"?" * 200
    with pytest.raises(Unavailable, match="did not write"):
        remember(strange, told(report((1, 1)), b"claims"))
