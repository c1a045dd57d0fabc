# SPDX-License-Identifier: Apache-2.0
"""No device leaves the factory line that could not say who it is, or could not be updated."""

from pathlib import Path

import pytest

from fieldpost.agent.enrolment import Base, enrol
from fieldpost.agent.home import Home
from fieldpost.agent.selftest import is_fit, run_selftest
from fieldpost.agent.world import World
from fieldpost.keys import Algorithm
from fieldpost.signers.keyfile import save_key_file
from fieldpost.signers.software import SoftwareSigner
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.world import START


@pytest.fixture
def board() -> PaperBoard:
    return PaperBoard()


@pytest.fixture
def home(tmp_path: Path, board: PaperBoard) -> Home:
    image = tmp_path / "image"
    image.write_bytes(b"the image")
    home = Home(tmp_path / "device")
    base = Base(images={"image": image}, sequence=7, version="1.0")
    enrol(home, provisioning=board.provisioning(), serial="SN 1", base=base)
    return home


def world(clock: int = START) -> World:
    return World(emit=lambda *_: None, clock=lambda: clock)


def failed(home: Home, clock: int = START, **asked: bool) -> list[str]:
    checks = run_selftest(home, world(clock), **asked)
    names = [check.name for check in checks if not check.passed]
    assert is_fit(checks) == (not [c for c in checks if c.needed and not c.passed])
    return names


def test_a_device_that_was_set_up_is_fit(home: Home) -> None:
    checks = run_selftest(home, world())
    assert is_fit(checks)
    assert [check.name for check in checks if check.passed] == [
        *("provisioning", "key", "request", "memory", "slot", "clock")
    ]
    assert {check.name: check.detail for check in checks}["slot"] == "a holds 1.0"
    assert not (home.slots / "probe").exists()


def test_what_is_missing_or_damaged_is_named(home: Home) -> None:
    home.provisioning.write_bytes(b"\xa0")
    assert "provisioning" in failed(home)
    assert not is_fit(run_selftest(home, world()))


def test_a_key_that_was_changed_after_the_request_is_noticed(home: Home) -> None:
    home.key.unlink()
    save_key_file(home.key, SoftwareSigner.generate(Algorithm.ED25519), None)
    assert failed(home) == ["request"]
    assert not is_fit(run_selftest(home, world()))


def test_a_slot_that_cannot_be_written_is_noticed(home: Home) -> None:
    (home.slots / "probe").mkdir()
    assert failed(home) == ["slot"]


def test_a_clock_is_told_and_needed_only_where_somebody_says_so(home: Home) -> None:
    assert failed(home, clock=0) == ["clock"]
    assert is_fit(run_selftest(home, world(0)))
    assert not is_fit(run_selftest(home, world(0), needs_clock=True))


def test_the_board_is_asked_where_there_is_one(home: Home, board: PaperBoard) -> None:
    before = home.memory.read_bytes()
    with PaperNode(board) as node:
        home.config.write_text(f'urls = ["{node.url}"]\n')
        assert failed(home, asks_board=True) == []
        node.is_silent = True
        assert failed(home, asks_board=True) == ["board"]
    assert home.memory.read_bytes() == before
