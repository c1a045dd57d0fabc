# SPDX-License-Identifier: Apache-2.0
"""Who begins beside operators that run already, and what is refused before anything is written."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from fieldpost.engines.cometbft.genesis import decode_genesis
from fieldpost.errors import Malformed, Misconfigured
from tests.unit.cli.founders import Founders

FOUR = ("berlin", "oslo", "paris", "rome")


@pytest.fixture
def founders(tmp_path: Path) -> Founders:
    """A board of four, and lima, who is not of them."""
    made = Founders(tmp_path)
    made.found(*FOUR)
    made.init("lima")
    return made


def join(founders: Founders, *files: str, genesis: Path | None = None) -> dict[str, object]:
    """What lima is told."""
    told: dict[str, object] = founders.call(
        *("operator", "join", str(genesis or founders.genesis_file("oslo"))),
        *(str(founders.public(name)) for name in files),
        *("--data", str(founders.data("lima"))),
        *("--settings", str(founders.root / "lima.toml")),
    )
    return told


def test_a_newcomer_takes_the_genesis_file_as_it_is_and_calls_all_others(
    founders: Founders,
) -> None:
    told = join(founders, *FOUR, "lima")
    assert founders.genesis_file("lima").read_bytes() == founders.genesis_file("rome").read_bytes()
    settings = tomllib.loads((founders.root / "lima.toml").read_text())
    assert settings["cometbft"]["peers"] == told["peers"]
    assert len(settings["cometbft"]["peers"]) == 4
    assert join(founders, *FOUR, "lima") == told


def test_a_newcomer_names_its_own_file_and_files_of_this_board(founders: Founders) -> None:
    with pytest.raises(Misconfigured, match="name your own"):
        join(founders, *FOUR)
    founders.init("quito", origin="other.example/1")
    with pytest.raises(Misconfigured, match=r"for the board other\.example/1"):
        join(founders, *FOUR, "lima", "quito")
    assert not founders.genesis_file("lima").exists()


def test_a_genesis_file_that_somebody_changed_is_refused(founders: Founders) -> None:
    changed = founders.root / "genesis.json"
    changed.write_bytes(founders.genesis_file("oslo").read_bytes() + b" ")
    with pytest.raises(Malformed, match="changed by hand"):
        join(founders, *FOUR, "lima", genesis=changed)
    assert not founders.genesis_file("lima").exists()


def test_a_board_that_moved_needs_its_log_first(founders: Founders) -> None:
    moved = replace(decode_genesis(founders.genesis_file("oslo").read_bytes()), genesis_post=None)
    file = founders.root / "genesis.json"
    file.write_bytes(moved.encode())
    with pytest.raises(Misconfigured, match="--from"):
        join(founders, *FOUR, "lima", genesis=file)
    assert not founders.genesis_file("lima").exists()


def test_a_folder_of_another_board_keeps_its_genesis_file(founders: Founders) -> None:
    founders.genesis("lima", "lima")
    before = founders.genesis_file("lima").read_bytes()
    with pytest.raises(Misconfigured, match="another agreement"):
        join(founders, *FOUR, "lima")
    assert founders.genesis_file("lima").read_bytes() == before
