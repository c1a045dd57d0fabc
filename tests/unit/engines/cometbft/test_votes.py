# SPDX-License-Identifier: Apache-2.0
"""A key whose last votes nobody knows begins above all of them, and never goes back."""

import json
from pathlib import Path

import pytest

from fieldpost.engines.cometbft.home import make_keys, read_validator_key, signed_path
from fieldpost.engines.cometbft.votes import vote_only_above
from fieldpost.errors import Misconfigured


def voted(home: Path) -> object:
    return json.loads(signed_path(home).read_bytes())


def test_a_key_without_its_last_votes_leaves_out_the_height_in_doubt(tmp_path: Path) -> None:
    key, _ = make_keys(tmp_path)
    signed_path(tmp_path).unlink()
    with pytest.raises(Misconfigured, match="vote-above"):
        read_validator_key(tmp_path)
    # The others' last block is 100: it may have voted for 101.
    assert vote_only_above(tmp_path, 100) == 102
    assert voted(tmp_path) == {"height": "102", "round": 0, "step": 0}
    assert read_validator_key(tmp_path) == key


def test_what_is_known_to_be_signed_is_never_lowered(tmp_path: Path) -> None:
    make_keys(tmp_path)
    later = {"height": "500", "round": 1, "step": 3}
    signed_path(tmp_path).write_text(json.dumps(later))
    assert vote_only_above(tmp_path, 100) == 500
    assert voted(tmp_path) == later
    assert vote_only_above(tmp_path, 499) == 501


def test_a_damaged_file_is_as_good_as_lost(tmp_path: Path) -> None:
    make_keys(tmp_path)
    signed_path(tmp_path).write_text("{")
    assert vote_only_above(tmp_path, 7) == 9


def test_votes_of_no_key_are_bounded_by_nobody(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no validator key"):
        vote_only_above(tmp_path, 7)
    assert not signed_path(tmp_path).exists()
