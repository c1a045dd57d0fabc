# SPDX-License-Identifier: Apache-2.0
"""A witness asks libsodium first, where it is installed; its yes saves time and decides nothing."""

from collections.abc import Callable

import pytest

from fieldpost.engines.quick_yes import find_quick_yes
from fieldpost.errors import Untrusted
from fieldpost.keys import Accepts
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.witness import format_add_checkpoint
from fieldpost.watch.witness.boards import FollowedBoard
from fieldpost.watch.witness.examining import Examiner
from tests.unit.watch.witness_world import ToyLog
from tests.unit.watch.witnessed_board import WitnessedBoard

Ask = Callable[[Accepts | None, bool], int]


def ask_of_a_log(quick_yes: Accepts | None, forged: bool) -> int:
    log = ToyLog()
    note = log.note(7)
    if forged:
        note = log.note(8).partition(b"\n\n")[0] + b"\n\n" + note.partition(b"\n\n")[2]
    examiner = Examiner({log.origin: log.known()}, {}, (), quick_yes)
    return len(examiner.examine(format_add_checkpoint(0, (), note), None).lines)


def ask_of_a_board(quick_yes: Accepts | None, forged: bool) -> int:
    board = WitnessedBoard(BoardWorld(operators=4))
    followed = FollowedBoard(board.id, board.links)
    head, lines = board.note().split(b"\n\n")
    state = board.state()
    if forged:
        board.world.accept(board.world.maker.registration())
        head, state = board.note().partition(b"\n\n")[0], board.state()
    body = format_add_checkpoint(0, (), head + b"\n\n" + lines)
    examiner = Examiner({}, {board.world.origin: followed}, (), quick_yes)
    return len(examiner.examine(body, state).lines)


every_ask = pytest.mark.parametrize(
    ("ask", "signatures"), [(ask_of_a_log, 1), (ask_of_a_board, 5)], ids=["a log", "a board"]
)


@every_ask
@pytest.mark.parametrize("quick_yes", [find_quick_yes(), None, lambda *_: False])
def test_a_true_head_is_taken_and_a_forged_one_refused_whoever_is_asked_first(
    ask: Ask, signatures: int, quick_yes: Accepts | None
) -> None:
    assert ask(quick_yes, False) == signatures
    with pytest.raises(Untrusted, match="bad-signature"):
        ask(quick_yes, True)


@every_ask
def test_every_signature_is_asked_for_first_and_its_yes_counts(ask: Ask, signatures: int) -> None:
    """The control: a library that says yes to all makes the forged head a true one."""
    asked: list[tuple[int, int]] = []

    def say_yes(key: bytes, _message: bytes, signature: bytes) -> bool:
        asked.append((len(key), len(signature)))
        return True

    assert ask(say_yes, True) == signatures
    assert asked == [(32, 64)] * signatures
