# SPDX-License-Identifier: Apache-2.0
"""A validator key is replaced: what is on the disk at any moment, and which key may vote."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from fieldpost.engines.cometbft import home as homes
from fieldpost.engines.cometbft import succession
from fieldpost.engines.cometbft.ordering import CometOrdering
from fieldpost.engines.cometbft.rpc import CometStatus
from fieldpost.errors import Unavailable


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "cometbft"
    homes.make_keys(made)
    signed = json.loads(homes.signed_path(made).read_bytes()) | {"height": "12"}
    homes.signed_path(made).write_text(json.dumps(signed))
    return made


def change(home: Path, voting: set[bytes], *, height: int = 13) -> bool:
    heir = succession.find_heir(home, voting)
    if heir is None:
        return False
    succession.retire_key(home, height)
    succession.take_over(home, heir)
    return True


def test_the_old_key_votes_until_the_new_one_is_counted(home: Path) -> None:
    old = homes.read_validator_key(home)
    new = succession.make_successor(home).public_key.raw
    assert succession.make_successor(home).public_key.raw == new
    assert not change(home, {old})
    assert homes.read_validator_key(home) == old
    assert change(home, {new})
    assert homes.read_validator_key(home) == new
    assert succession.read_successor(home) is None
    assert not change(home, {new})


def test_what_was_voted_for_last_holds_for_the_successor(home: Path) -> None:
    before = homes.signed_path(home).read_bytes()
    assert change(home, {succession.make_successor(home).public_key.raw})
    assert homes.signed_path(home).read_bytes() == before


def test_the_former_key_is_kept_apart_and_nobody_else_may_read_it(home: Path) -> None:
    before = homes.key_path(home).read_bytes()
    assert change(home, {succession.make_successor(home).public_key.raw}, height=40)
    (kept,) = (home / "config" / "retired").iterdir()
    assert (kept.name, kept.read_bytes()) == ("priv_validator_key.until-40.json", before)
    assert kept.stat().st_mode & 0o077 == 0
    assert kept.parent.stat().st_mode & 0o077 == 0


def test_a_successor_that_was_given_up_takes_over_if_the_board_took_it_all_the_same(
    home: Path,
) -> None:
    given_up = succession.make_successor(home).public_key.raw
    succession.give_up_successor(home, 3)
    assert succession.read_successor(home) is None
    assert succession.make_successor(home).public_key.raw != given_up
    assert change(home, {given_up})
    assert homes.read_validator_key(home) == given_up
    assert succession.has_successor(home)


def test_a_full_disk_ends_no_cometbft_and_the_old_key_stays(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy of the old key is written first; where that fails nothing was stopped."""
    old, new = homes.read_validator_key(home), succession.make_successor(home).public_key.raw
    ordering = CometOrdering(Path("/bin/false"), home, "127.0.0.1:1")
    stopped: list[bool] = []

    def fail(*_: object) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(ordering, "_process", SimpleNamespace(pid=7))
    monkeypatch.setattr(ordering, "stop", lambda: stopped.append(True))
    monkeypatch.setattr(ordering._questions, "validators", lambda: (14, frozenset({new})))
    monkeypatch.setattr(succession, "retire_key", fail)
    monkeypatch.setattr(
        ordering._questions,
        "status",
        lambda: CometStatus(height=13, time=0, catching_up=False, peers=3),
    )
    ordering.look_after()
    assert (homes.read_validator_key(home), stopped) == (old, [])
