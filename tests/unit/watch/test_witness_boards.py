# SPDX-License-Identifier: Apache-2.0
"""Of a board a witness cosigns only what the operators' quorum of its own state leaf cosigned."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldpost.client.witness import NeedsLinks, fetch_cosigned
from fieldpost.errors import Malformed, NotFound, Untrusted
from fieldpost.records.state_proof import StateProof
from fieldpost.testing import operator_posts
from fieldpost.testing.actors import OperatorActor
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.checkpoint import open_checkpoint
from fieldpost.tlog.witness import OtherSize
from fieldpost.watch.witness.sources import BoardSource, parse_board_source
from tests.unit.watch.witness_world import ServedWitness, served
from tests.unit.watch.witnessed_board import WitnessedBoard


@pytest.fixture
def board() -> WitnessedBoard:
    return WitnessedBoard(BoardWorld(operators=4))


@pytest.fixture
def witness(tmp_path: Path, board: WitnessedBoard) -> Iterator[ServedWitness]:
    with served(tmp_path, boards=[BoardSource(board.id, None)]) as found:
        yield found


def cosigned_size(witness: ServedWitness, board: WitnessedBoard) -> int:
    return open_checkpoint(fetch_cosigned(witness.http, board.world.origin), witness.keys)[0].size


def test_a_witness_that_knows_the_id_alone_asks_for_the_links_and_proves_them(
    witness: ServedWitness, board: WitnessedBoard
) -> None:
    with pytest.raises(NeedsLinks) as found:
        board.ask(witness.http, 0)
    assert found.value.epoch == -1
    board.send_links(witness.http)
    board.ask(witness.http, 0)
    assert cosigned_size(witness, board) == 2


def test_links_of_another_board_are_refused(witness: ServedWitness, board: WitnessedBoard) -> None:
    other = WitnessedBoard(BoardWorld(operators=3))
    with pytest.raises((Untrusted, Malformed)):
        board.send_links(witness.http, other.links)
    with pytest.raises(NeedsLinks):
        board.ask(witness.http, 0)


@pytest.mark.parametrize(("operators", "is_quorum"), [(0, False), (2, False), (3, True), (4, True)])
def test_three_of_four_operators_must_have_cosigned(
    witness: ServedWitness, board: WitnessedBoard, operators: int, is_quorum: bool
) -> None:
    board.send_links(witness.http)
    if is_quorum:
        assert board.ask(witness.http, 0, operators=operators)
        return
    with pytest.raises(Untrusted, match="quorum"):
        board.ask(witness.http, 0, operators=operators)
    with pytest.raises(NotFound):
        cosigned_size(witness, board)


def test_a_state_leaf_that_is_missing_or_of_another_tree_is_refused(
    witness: ServedWitness, board: WitnessedBoard
) -> None:
    board.send_links(witness.http)
    old = board.state()
    board.world.accept(board.world.maker.registration())
    other = StateProof(board.world.entries[-1], board.world.edge()[:-1]).encode()
    for state in (old, other, b""):
        with pytest.raises((Untrusted, Malformed)):
            board.ask(witness.http, 0, state=state)
    assert board.ask(witness.http, 0)


def rotated(board: WitnessedBoard) -> WitnessedBoard:
    """The board once its first operator's keys were replaced, by a batch not yet published."""
    world = board.world
    first = world.operators[0]
    new = OperatorActor(first.name, first.origin, generation=1)
    post = operator_posts.board_set(
        world,
        operators=(new.operator(), *world.board_record.operators[1:]),
        signers=[*(one.governance for one in world.operators[:3]), *new.signers],
    )
    world.accept(post)
    world.operators = (new, *world.operators[1:])
    board.links.append(post)
    return board


def test_the_batch_that_changes_the_operators_is_cosigned_under_the_new_record(
    witness: ServedWitness, board: WitnessedBoard
) -> None:
    board.send_links(witness.http)
    board.ask(witness.http, 0)
    rotated(board)
    with pytest.raises(NeedsLinks) as found:
        board.ask(witness.http, 2)
    assert found.value.epoch == 0
    board.send_links(witness.http, board.links[1:])
    assert board.ask(witness.http, 2, operators=3)


def test_links_outlive_a_restart_and_epochs_never_fall(
    tmp_path: Path, board: WitnessedBoard
) -> None:
    source = BoardSource(board.id, None)
    with served(tmp_path, boards=[source]) as witness:
        board.send_links(witness.http)
        board.ask(witness.http, 0)
    rotated(board)
    with served(tmp_path, boards=[source]) as witness:
        board.send_links(witness.http)
        board.ask(witness.http, 2)
    with served(tmp_path, boards=[source]) as witness:
        with pytest.raises(OtherSize):
            board.ask(witness.http, 2)
        assert board.ask(witness.http, 4)


def test_a_board_source_is_an_id_a_url_or_both() -> None:
    board = "board.example/1#" + "0" * 32
    assert parse_board_source(board) == BoardSource(board, None)
    assert parse_board_source("https://b.example/") == BoardSource(None, "https://b.example")
    both = parse_board_source(f"{board}@https://b.example")
    assert both == BoardSource(board, "https://b.example")
