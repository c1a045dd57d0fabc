# SPDX-License-Identifier: Apache-2.0
"""A node collects from outside witnesses: real witnesses on loopback, a real node, one process."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fieldpost.client.transport import HttpClient
from fieldpost.engines.board_files import create_board
from fieldpost.node.witnesses import load_addresses
from fieldpost.records.board import Witness
from fieldpost.tlog.checkpoint import open_checkpoint
from fieldpost.tlog.note import format_vkey
from fieldpost.watch.witness.judging import Cosigned
from fieldpost.watch.witness.keys import make_keys
from fieldpost.watch.witness.sources import BoardSource
from tests.unit.node.running_node import NOW, running
from tests.unit.node.watched_node import (
    ORIGIN,
    WAIT_S,
    Watched,
    begun,
    size_at,
    states,
    until,
)
from tests.unit.watch.witness_world import served


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def test_a_board_that_demands_a_witness_publishes_what_it_cosigned(
    tmp_path: Path, stack: ExitStack
) -> None:
    watched = Watched(tmp_path, stack, count=1, needed=1)
    witness = watched.serve(0)
    node = watched.node()
    world = node.world()
    node.post(world, world.maker.registration())
    node.post(world, world.maker.class_set())
    assert size_at(witness) == 6
    checkpoint, verified = open_checkpoint(
        node.http.fetch("/log/checkpoint"), witness.keys, origin=ORIGIN
    )
    assert (checkpoint.size, len(verified)) == (6, 1)
    until(lambda: states(node) == {"w0.test": "cosigns"})


def test_a_dead_witness_costs_nothing_while_the_demand_stands(
    tmp_path: Path, stack: ExitStack
) -> None:
    watched = Watched(tmp_path, stack, count=2, needed=1)
    watched.serve(1)
    node = watched.node()
    world = node.world()
    node.post(world, world.maker.registration())
    until(lambda: states(node) == {"w0.test": "unreachable", "w1.test": "cosigns"})


def test_a_post_waits_for_the_witness_and_is_answered_when_it_is_there(
    tmp_path: Path, stack: ExitStack
) -> None:
    watched = Watched(tmp_path, stack, count=1, needed=1)
    watched.serve(0)
    node = watched.node()
    relay = watched.relays[0]
    alive, relay.target = relay.target, "http://127.0.0.1:9"
    world = node.world()
    entry = world.maker.registration()
    answers: list[int] = []

    def send() -> None:
        with HttpClient(node.url, timeout_s=WAIT_S) as http:
            answers.append(
                http.send("POST", "/v1/posts", entry, content_type="application/cose").status
            )

    sender = threading.Thread(target=send)
    sender.start()
    until(lambda: states(node) == {"w0.test": "unreachable"})
    assert not answers
    assert node.log().advance().size == 2
    relay.target = alive
    sender.join(WAIT_S)
    assert answers == [200]
    assert node.log().advance().size == 4


def test_addresses_come_from_a_policy_file_too(tmp_path: Path, stack: ExitStack) -> None:
    key = make_keys(tmp_path / "w", "w0.test", post_quantum=False).vkeys()[0]
    board = create_board(
        tmp_path / "board", now=NOW, origin=ORIGIN, witnesses=[Witness(key=key)], witnesses_needed=1
    )
    witness = stack.enter_context(served(tmp_path / "w", boards=[BoardSource(board, None)]))
    path = tmp_path / "witnesses.policy"
    path.write_text(f"witness w0 {format_vkey(key)} {witness.http.base_url}\nquorum none\n")
    assert load_addresses(path) == {key: witness.http.base_url}
    node = begun(stack.enter_context(running(tmp_path / "board", witness_policy=path)))
    until(lambda: states(node) == {"w0.test": "cosigns"})


def test_a_witness_that_the_record_does_not_name_is_shown_and_counts_for_nothing(
    tmp_path: Path, stack: ExitStack
) -> None:
    board = create_board(tmp_path / "board", now=NOW, origin=ORIGIN)
    key = make_keys(tmp_path / "w", "w0.test", post_quantum=False).vkeys()[0]
    witness = stack.enter_context(served(tmp_path / "w", boards=[BoardSource(board, None)]))
    path = tmp_path / "witnesses.policy"
    path.write_text(f"witness w0 {format_vkey(key)} {witness.http.base_url}\nquorum none\n")
    node = begun(stack.enter_context(running(tmp_path / "board", witness_policy=path)))
    world = node.world()
    node.post(world, world.maker.registration())

    def has_line() -> bool:
        return b"w0.test" in node.http.fetch("/log/checkpoint")

    until(has_line)
    checkpoint, (found,) = open_checkpoint(node.http.fetch("/log/checkpoint"), [key])
    assert (checkpoint.size, found.key) == (4, key)


def test_a_poisoned_witness_is_told_apart_and_costs_nothing(
    tmp_path: Path, stack: ExitStack
) -> None:
    watched = Watched(tmp_path, stack, count=2, needed=1)
    poisoned = watched.serve(0)
    watched.serve(1)
    head = Cosigned(size=2, root=b"\x07" * 32, timestamp=NOW)
    poisoned.open.service._heads[ORIGIN] = head
    node = watched.node()
    world = node.world()
    node.post(world, world.maker.registration())
    until(lambda: states(node) == {"w0.test": "poisoned", "w1.test": "cosigns"})
