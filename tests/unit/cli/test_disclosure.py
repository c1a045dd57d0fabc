# SPDX-License-Identifier: Apache-2.0
"""A maker learns what becomes public before anything does, and can still say no."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from fieldpost.cli.disclosure import GUIDE
from fieldpost.errors import Misconfigured
from tests.unit.cli.cli_world import CliWorld

REPOSITORY = Path(__file__).resolve().parents[3]


def newcomer(world: CliWorld) -> tuple[str, str]:
    elsewhere = ("--home", str(world.root / "newcomer"))
    world.call("maker", "init", "--name", "Newcomer", "--one-key", "--no-passphrase", *elsewhere)
    return elsewhere


def size(world: CliWorld) -> int:
    found: int = world.call("board", "show", "--board", world.url)["size"]
    return found


def at_a_terminal(world: CliWorld, answer: str) -> "subprocess.CompletedProcess[str]":
    """`maker register` of the newcomer by a person who types `answer`."""
    terminal, stdin = pty.openpty()
    try:
        os.write(terminal, f"{answer}\n".encode())
        return subprocess.run(
            [
                *(sys.executable, "-m", "fieldpost.cli", "maker", "register"),
                *("--board", world.url, "--home", str(world.root / "newcomer"), "--json"),
            ],
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(stdin)
        os.close(terminal)


def test_a_script_that_does_not_say_yes_posts_nothing(world: CliWorld) -> None:
    elsewhere = newcomer(world)
    before = size(world)
    with pytest.raises(Misconfigured, match="say --yes"):
        world.call("maker", "register", "--board", world.url, *elsewhere)
    assert size(world) == before
    assert not (world.root / "newcomer" / "outbox").exists(), "nothing was even signed"
    world.call("maker", "register", "--board", world.url, "--yes", *elsewhere)
    assert size(world) > before


def test_a_person_who_says_no_has_posted_nothing(world: CliWorld) -> None:
    newcomer(world)
    before = size(world)
    refused = at_a_terminal(world, "n")
    assert refused.returncode != 0
    assert "for ever" in refused.stderr
    assert GUIDE in refused.stderr
    assert size(world) == before
    assert at_a_terminal(world, "y").returncode == 0
    assert size(world) > before


def test_whoever_is_registered_already_is_not_asked_again(world: CliWorld) -> None:
    elsewhere = newcomer(world)
    world.call("maker", "register", "--board", world.url, "--yes", *elsewhere)
    assert world.call("maker", "register", "--board", world.url, *elsewhere)["index"] is None


def test_the_page_that_is_named_exists() -> None:
    assert (REPOSITORY / GUIDE).is_file()
