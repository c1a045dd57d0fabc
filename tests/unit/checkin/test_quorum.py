# SPDX-License-Identifier: Apache-2.0
"""Who must cosign, and what time they vouch for."""

from dataclasses import replace

import pytest

from fieldpost.checkin.quorum import cosigners_of, verify_quorum
from fieldpost.errors import Untrusted
from fieldpost.keys import Algorithm
from fieldpost.testing.actors import OperatorActor
from fieldpost.testing.bundles import PaperBoard
from fieldpost.tlog.cosignature import Cosignature, cosign

EVERY = frozenset(Algorithm)


def judged(
    board: PaperBoard,
    *cosignatures: Cosignature,
    clock: int | None = None,
    algorithms: frozenset[Algorithm] = EVERY,
) -> int:
    return verify_quorum(
        board.checkpoint,
        cosignatures,
        cosigners=cosigners_of(board.board_record, board.maker_record.policy, algorithms),
        clock=clock,
    )


@pytest.mark.parametrize(
    ("operators", "needed"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (16, 11)]
)
def test_more_than_two_thirds_of_the_operators_must_cosign(operators: int, needed: int) -> None:
    board = PaperBoard(operators=operators)
    assert judged(board, *board.cosignatures(operators=needed)) == board.time
    with pytest.raises(Untrusted, match="no-quorum"):
        judged(board, *board.cosignatures(operators=needed - 1))


def test_which_operators_cosign_does_not_matter() -> None:
    board = PaperBoard(operators=4)
    cosignatures = board.cosignatures()
    for absent in cosignatures:
        assert judged(board, *(c for c in cosignatures if c is not absent)) == board.time


def test_the_time_is_the_latest_that_enough_of_both_groups_reach() -> None:
    board = PaperBoard(operators=4, witnesses=1)
    head = board.checkpoint
    people = [OperatorActor(name, board.origin) for name in board.names]
    operators = [
        cosign(head, name=p.cosigner_name, signer=p.cosigner(), timestamp=time)
        for p, time in zip(people, (40, 30, 20, 10), strict=True)
    ]
    for witnessed, expected in ((50, 20), (15, 15), (20, 20)):
        witness = board.cosignatures(timestamp=witnessed, operators=0)
        assert judged(board, *operators, *witness) == expected


def test_an_operators_later_cosignature_is_the_one_that_counts() -> None:
    board = PaperBoard()
    early, late = (board.cosignatures(timestamp=time)[0] for time in (100, 200))
    assert judged(board, early, late) == judged(board, late, early) == 200


def test_strangers_are_ignored_even_if_their_signatures_are_rubbish() -> None:
    board = PaperBoard(operators=2)
    stranger = Cosignature(b"\0\0\0\0", board.time + 10, bytes(64))
    assert judged(board, stranger, *board.cosignatures()) == board.time


def test_a_bad_signature_of_a_known_key_refuses_everything() -> None:
    board = PaperBoard(operators=4)
    *others, last = board.cosignatures()
    for bad in (
        replace(last, timestamp=last.timestamp + 1),
        replace(last, signature=bytes(64)),
        replace(last, signature=bytes(2_420)),
        replace(last, key_id=others[0].key_id),
    ):
        with pytest.raises(Untrusted, match="bad-signature"):
            judged(board, *others, bad)


def test_a_bad_signature_is_bad_also_where_its_time_would_not_count() -> None:
    board = PaperBoard(operators=4)
    *others, last = board.cosignatures()
    bad = replace(last, timestamp=board.time + 10**6)
    with pytest.raises(Untrusted, match="bad-signature"):
        judged(board, *others, bad, clock=board.time)


def test_ten_minutes_ahead_of_my_clock_is_the_most_that_counts() -> None:
    board = PaperBoard()
    ahead = board.cosignatures(timestamp=board.time + 600)
    assert judged(board, *ahead, clock=board.time) == board.time + 600
    with pytest.raises(Untrusted, match="no-quorum"):
        judged(board, *ahead, clock=board.time - 1)
    assert judged(board, *ahead, clock=None) == board.time + 600


def test_a_witness_that_the_policy_does_not_name_does_not_count() -> None:
    board = PaperBoard(witnesses=2, policy={"witnesses": (), "witnesses_needed": 0})
    assert judged(board, *board.cosignatures(witnesses=0)) == board.time
    strict = PaperBoard(witnesses=2)
    one = strict.maker_record.policy.witnesses[:1]
    named = PaperBoard(witnesses=2, policy={"witnesses": one, "witnesses_needed": 1})
    assert judged(named, *named.cosignatures(witnesses=1)) == named.time
    operator, _, second = named.cosignatures()
    with pytest.raises(Untrusted, match="no-quorum"):
        judged(named, operator, second)


def test_an_operator_votes_once_with_whichever_key() -> None:
    board = PaperBoard(operators=2, post_quantum=True)
    classic = board.cosignatures()
    quantum = board.cosignatures(algorithm=Algorithm.ML_DSA_44)
    assert judged(board, classic[0], quantum[1]) == board.time
    with pytest.raises(Untrusted, match="no-quorum"):
        judged(board, classic[0], quantum[0])


def test_keys_of_an_algorithm_that_the_device_lacks_are_strangers() -> None:
    board = PaperBoard(operators=2, post_quantum=True)
    quantum = board.cosignatures(algorithm=Algorithm.ML_DSA_44)
    only = frozenset({Algorithm.ED25519})
    with pytest.raises(Untrusted, match="no-quorum"):
        judged(board, *quantum, algorithms=only)
    rubbish = [replace(cosignature, signature=bytes(2_420)) for cosignature in quantum]
    assert judged(board, *rubbish, *board.cosignatures(), algorithms=only) == board.time
