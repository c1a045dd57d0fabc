# SPDX-License-Identifier: Apache-2.0
"""A validator key is replaced, and the power goes: one of both votes, and none votes twice."""

from pathlib import Path
from random import Random

import pytest

from fieldpost.engines.cometbft import succession
from fieldpost.engines.cometbft.home import (
    key_path,
    make_keys,
    read_public_key,
    read_validator_key,
    signed_path,
)
from fieldpost.testing.power_cuts import PowerCuts
from fieldpost.testing.volatile_disk import VolatileDisk

pytestmark = pytest.mark.crash


def test_whatever_a_power_cut_leaves_one_of_both_keys_votes_and_the_former_is_not_lost(
    memory: Path,
) -> None:
    home = memory / "cometbft"
    old, _ = make_keys(home)
    voted = signed_path(home).read_bytes()
    taken: list[bytes] = []

    def judge(left: Path) -> None:
        assert signed_path(left).read_bytes() == voted
        votes = read_validator_key(left)
        kept = (left / "config" / "retired").glob("priv_validator_key.until-*")
        assert old in (votes, *map(read_public_key, kept))
        if taken:
            # The board has it: it votes, or will at the next start.
            heir = succession.find_heir(left, taken)
            assert votes == taken[0] if heir is None else read_public_key(heir) == taken[0]
        else:
            assert votes == old

    survivors = memory / "survivors"
    survivors.mkdir()
    disk = VolatileDisk(home)
    cuts = PowerCuts(disk, survivors, judge, chance=Random(7))
    taken.append(succession.make_successor(home, disk=disk).public_key.raw)
    cuts.promise()
    heir = succession.find_heir(home, taken)
    assert heir is not None
    succession.retire_key(home, 12, disk=disk)
    succession.take_over(home, heir, disk=disk)
    cuts.promise()
    assert read_public_key(key_path(home)) == taken[0]
    assert cuts.failures == []
    assert cuts.judged > 5
