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
