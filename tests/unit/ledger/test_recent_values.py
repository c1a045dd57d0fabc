# SPDX-License-Identifier: Apache-2.0
"""Remembered values are those of the map, whatever was written and forgotten meanwhile."""

from hashlib import sha256

import pytest

from fieldpost.ledger import recent
from fieldpost.ledger.recent import RecentValues
from fieldpost.statemap import StateMap


def key(number: int) -> bytes:
    return sha256(number.to_bytes(4, "big")).digest()


@pytest.mark.parametrize("most", [0, 7, recent.MOST_REMEMBERED])
def test_what_is_remembered_is_what_the_map_says(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "MOST_REMEMBERED", most)
    map_ = StateMap.empty()
    values = RecentValues(map_)
    for step in range(20):
        writes = {key(step): b"new", key(step // 2): step.to_bytes(2, "big")}
        map_ = map_.update(writes)
        values.follow(map_, writes)
        for number in range(25):
            assert values.value(key(number)) == map_.value(key(number))


@pytest.mark.parametrize("most", [0, recent.MOST_REMEMBERED])
def test_a_glance_sees_every_value_and_leaves_nothing_behind(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken before a batch it may know that batch or not; it never invents and never remembers."""
    monkeypatch.setattr(recent, "MOST_REMEMBERED", most)
    old = StateMap.empty().update({key(1): b"old", key(2): b"same"})
    values = RecentValues(old)
    glance = values.glance()
    assert [glance.value(key(number)) for number in range(3)] == [None, b"old", b"same"]
    new = old.update({key(1): b"new"})
    values.follow(new, {key(1): b"new"})
    assert glance.value(key(1)) in (b"old", b"new")
    assert glance.value(key(2)) == b"same"
    assert values.glance().value(key(1)) == values.value(key(1)) == b"new"
    assert values.value(key(0)) is None


def test_a_glance_taken_in_the_middle_of_a_batch_cannot_make_the_writer_remember_the_past() -> None:
    """The order that would spoil a shared memory: looked up before a batch, stored after it."""
    old = StateMap.empty().update({key(1): b"old"})
    values = RecentValues(old)
    glance = values.glance()
    seen = glance.value(key(1))
    values.follow(old.update({key(1): b"new"}), {key(1): b"new"})
    assert (seen, values.value(key(1))) == (b"old", b"new")


@pytest.mark.parametrize("most", [0, 5, recent.MOST_REMEMBERED])
def test_what_was_replaced_is_what_the_older_map_says(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of new keys alone, of old keys alone and of both, remembered or not."""
    monkeypatch.setattr(recent, "MOST_REMEMBERED", most)
    map_ = StateMap.build((key(number), b"at the start") for number in range(6))
    values = RecentValues(map_)
    for step, numbers in enumerate([(6, 7), (0, 1), (2, 8, 9), (8, 3), (10,), (4, 5, 11)]):
        writes = {key(number): bytes((step,)) for number in numbers}
        after = map_.update(writes)
        expected = {written: map_.value(written) for written in writes}
        assert values.replaced_by(after, writes) == expected
        values.follow(after, writes)
        map_ = after
