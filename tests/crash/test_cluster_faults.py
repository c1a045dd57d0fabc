# SPDX-License-Identifier: Apache-2.0
"""A board of four real operators under load, through faults of a fixed seed.

`make chaos ARGS="--cluster N"` goes through all of them, for hours.
"""

from pathlib import Path

import pytest

from tests.crash.cluster_campaign import Campaign
from tests.crash.cluster_reader import roots_of
from tests.crash.rfc6962 import root_of

pytestmark = [pytest.mark.crash, pytest.mark.e2e]

SEED = 6
FAULTS = ("kill_too_many", "split", "kill_comets", "other_build")


def test_four_operators_lose_nothing_and_sign_one_history_whatever_befalls_them(
    tmp_path: Path,
) -> None:
    """Two of four killed, two cut from two, CometBFTs killed, one that computes another board.

    A stranger, who uses none of the operators' code, compares every head, line and receipt that
    anybody ever saw with what all hold in the end.
    """
    said: list[str] = []
    with Campaign(tmp_path / "board", seed=SEED, say=said.append) as campaign:
        campaign.befall(FAULTS)
        campaign.finish()
    assert len(said) == len(FAULTS) + 1
    assert len(campaign.crowd.device.installed) > len(FAULTS)


def test_the_stranger_computes_roots_as_the_standard_does() -> None:
    entries = [b"%d" % number for number in range(40)]
    assert list(roots_of(entries)) == [root_of(entries[:size]) for size in range(1, 41)]
