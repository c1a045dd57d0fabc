# SPDX-License-Identifier: Apache-2.0
"""The command line beside nodes that are dead, behind, or lie: one good node is enough.

Relays before one node stand for further nodes of the same board.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest

from fieldpost.cli.board_access import Board
from fieldpost.cli.board_memory import own_urls
from fieldpost.cli.bound_board import known_board
from fieldpost.cli.maker_home import MakerHome
from fieldpost.errors import Malformed, NotFound, Unavailable, Untrusted
from fieldpost.testing.relay import Relay
from tests.unit.cli.cli_world import CliWorld

# Nobody listens there.
DEAD = "http://127.0.0.1:9"


@pytest.fixture
def relay(world: CliWorld) -> Iterator[Relay]:
    """Another node of the board, before it does anything wrong."""
    with Relay(world.url) as made:
        yield made


def boards(*urls: str) -> list[str]:
    return [word for url in urls for word in ("--board", url)]


def asked_at(world: CliWorld, *urls: str) -> None:
    """The maker named these nodes, and none of them has answered yet."""
    world.call("maker", "use", *urls)
    for path in (world.home / "checkpoints").glob("*.urls"):
        path.unlink()


def first_to_answer(world: CliWorld, *urls: str) -> str:
    """Who of these, asked in this order, shows the board as the home knows it."""
    home = MakerHome(world.home, lambda: b"")
    for path in (home.path / "checkpoints").glob("*.urls"):
        path.unlink()
    with click.Context(click.Command("asking")):
        return known_board(home, world.board, urls).url


def posts_of(relay: Relay) -> int:
    return sum(path == "/v1/posts" for _, path, _ in relay.requests)


def test_a_dead_node_costs_nothing_where_another_answers(world: CliWorld) -> None:
    shown = world.call("class", "show", world.class_id, *boards(DEAD, world.url))
    assert shown == world.call("class", "show", world.class_id, *boards(world.url))


def test_nodes_that_are_all_dead_are_all_named(world: CliWorld) -> None:
    with pytest.raises(Unavailable) as failed:
        world.call("board", "show", *boards(DEAD, "http://127.0.0.1:10"))
    assert DEAD in str(failed.value)
    assert "http://127.0.0.1:10" in str(failed.value)


def test_a_lying_node_is_passed_over(world: CliWorld, relay: Relay) -> None:
    relay.alter = lambda path, body: body[:-1] if path.startswith("/v1/proof/") else body
    honest = world.call("maker", "show", *boards(world.url))
    assert world.call("maker", "show", *boards(relay.url, world.url)) == honest
    assert any(path.startswith("/v1/proof/") for _, path, _ in relay.requests)
    with pytest.raises(Malformed):
        world.call("maker", "show", *boards(relay.url))


def test_a_node_of_another_board_is_passed_over_and_alone_refused(
    world: CliWorld, relay: Relay
) -> None:
    other = world.board[:-1] + ("0" if world.board[-1] != "0" else "1")
    relay.alter = lambda path, body: body.replace(world.board.encode(), other.encode())
    asked_at(world, world.url)
    assert first_to_answer(world, relay.url, world.url) == world.url
    with pytest.raises(Untrusted, match="wrong-board"):
        first_to_answer(world, relay.url)


def test_a_post_whose_answer_was_lost_is_finished_at_another_node(
    world: CliWorld, relay: Relay
) -> None:
    asked_at(world, relay.url, world.url)
    relay.cut = lambda path: 0 if path == "/v1/posts" else None
    before = world.call("board", "show")["size"]
    world.call("class", "add", "bulb:r2", "--support-end", "2036-12-31")
    assert posts_of(relay) == 1
    assert list((world.home / "outbox").glob("*")) == []
    # One post and its batch's state leaf: it was taken once.
    assert world.call("board", "show")["size"] == before + 2


def test_a_post_is_refused_only_where_no_node_takes_it(world: CliWorld, relay: Relay) -> None:
    asked_at(world, relay.url, world.url)
    relay.alter = lambda path, body: b"{}" if path == "/v1/posts" else body
    world.call("class", "add", "bulb:r2", "--support-end", "2036-12-31")
    assert list((world.home / "refused").glob("*")) == []


def test_a_receipt_that_proves_nothing_is_not_taken_for_one(world: CliWorld, relay: Relay) -> None:
    asked_at(world, relay.url, world.url)

    def forge(path: str, body: bytes) -> bytes:
        if path != "/v1/posts":
            return body
        answer = json.loads(body)
        answer["receipt"] = answer["receipt"].replace("\nindex ", "\nindex 1")
        return json.dumps(answer).encode()

    relay.alter = forge
    added = world.call("class", "add", "bulb:r2", "--support-end", "2036-12-31")
    receipt = str(Path(added["receipt"]))
    assert world.call("verify", receipt, *boards(world.url))["index"] == added["index"]
    asked_at(world, relay.url)
    with pytest.raises(Unavailable, match="no receipt"):
        world.call("class", "add", "bulb:r3", "--support-end", "2036-12-31")


def test_a_node_that_is_behind_what_another_took_is_passed_over(
    world: CliWorld, relay: Relay
) -> None:
    stale = _checkpoint(world)
    asked_at(world, world.url)
    world.call("class", "add", "bulb:r2", "--support-end", "2036-12-31")
    relay.alter = lambda path, body: stale if path == "/log/checkpoint" else body
    assert first_to_answer(world, relay.url, world.url) == world.url
    with pytest.raises(Untrusted, match="not-newer"):
        first_to_answer(world, relay.url)


def test_control_without_what_a_home_remembers_a_node_that_is_behind_is_believed(
    world: CliWorld, relay: Relay
) -> None:
    stale = _checkpoint(world)
    world.call("class", "add", "bulb:r2", "--support-end", "2036-12-31")
    relay.alter = lambda path, body: stale if path == "/log/checkpoint" else body
    with closing(Board(relay.url, world.url)) as believing:
        shown, _ = believing.head()
    assert shown < world.call("board", "show", *boards(world.url))["size"]


def test_nodes_that_are_all_behind_are_waited_for(world: CliWorld, relay: Relay) -> None:
    stale = _checkpoint(world)
    asked_at(world, world.url)
    world.call("class", "add", "bulb:r2", "--support-end", "2036-12-31")
    shown = 0

    def catch_up(path: str, body: bytes) -> bytes:
        nonlocal shown
        if path != "/log/checkpoint":
            return body
        shown += 1
        return stale if shown < 4 else body

    relay.alter = catch_up
    assert first_to_answer(world, DEAD, relay.url) == relay.url
    assert shown == 4


def test_the_node_that_answered_last_is_asked_first_by_the_next_command(
    world: CliWorld, relay: Relay
) -> None:
    asked_at(world, DEAD, relay.url, world.url)
    assert world.call("maker", "use", DEAD, relay.url, world.url)["urls"][0] == relay.url
    (kept,) = (world.home / "checkpoints").glob("*.urls")
    assert kept.read_text().split()[0] == relay.url
    home = MakerHome(world.home, lambda: b"")
    assert own_urls(home)[0] == relay.url
    assert set(own_urls(home)) >= {DEAD, relay.url, world.url}


def test_nobody_has_what_no_node_has_also_with_a_dead_one_beside(world: CliWorld) -> None:
    with pytest.raises(NotFound):
        world.call("class", "show", "00" * 16, *boards(DEAD, world.url))


def test_a_home_of_an_earlier_version_is_read(world: CliWorld) -> None:
    path = world.home / "maker.json"
    settings = json.loads(path.read_text())
    settings |= {"board_url": world.url, "boards": {"other#1": "http://other.example"}}
    path.write_text(json.dumps(settings))
    read = MakerHome(world.home, lambda: b"").settings()
    assert read.board_urls == (world.url,)
    assert read.boards["other#1"] == ("http://other.example",)


def test_the_environment_names_several_nodes(
    world: CliWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIELDPOST_BOARD", f"{DEAD} {world.url}")
    assert world.call("board", "show")["board"] == world.board


def _checkpoint(world: CliWorld) -> bytes:
    return (world.data / "log" / "checkpoint").read_bytes()
