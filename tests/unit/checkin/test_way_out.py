# SPDX-License-Identifier: Apache-2.0
"""A board may die and its devices live (docs/spec/policy.md)."""

from typing import Any

import pytest

from fieldpost.checkin.belief import Belief, believe, decode_belief
from fieldpost.checkin.chains import MissingLinks
from fieldpost.checkin.verify import verify_bundle
from fieldpost.checkin.way_out import believe_links, is_grace_over
from fieldpost.errors import Malformed, Untrusted
from fieldpost.testing.bundles import PaperBoard


class Move:
    """A maker that leaves `old` for `haven`; the device has seen `old` for a while."""

    def __init__(self) -> None:
        self.old = PaperBoard(operators=3, witnesses=1)
        for _ in range(20):
            self.old.seal()
        self.haven = PaperBoard(origin="haven.test/1", operators=4)
        for _ in range(3):
            self.haven.seal()
        belief, _ = believe(self.old.provisioning())
        self.belief = self.judged(belief, self.old)
        policy = self.haven.default_policy()
        self.link = self.old.maker_set(
            policy={
                "board": policy.board,
                "urls": policy.urls,
                "board_link": policy.board_link,
                "witnesses": (),
                "witnesses_needed": 0,
                "least_size": self.haven.checkpoint.size,
            }
        )
        self.haven.take_over(self.old)

    def judged(self, belief: Belief, board: PaperBoard, **given: Any) -> Belief:
        verified = verify_bundle(
            belief, board.bundle(), key=board.head_key, now=board.time, **given
        )
        return verified.belief


def test_a_link_to_another_board_ends_the_check_in_and_begins_there() -> None:
    move = Move()
    verified = verify_bundle(
        move.belief,
        move.old.bundle(),
        key=move.old.head_key,
        now=move.old.time,
        maker_links=[move.link],
    )
    assert verified.moved_board
    assert verified.moved
    after = verified.belief
    assert after.bundle == move.old.bundle()
    assert (after.board, after.size) == (move.haven.id, after.policy.least_size)
    assert (after.root, after.timestamp, after.board_record) == (None, 0, b"")
    assert after.size < move.belief.size
    assert decode_belief(after.encode()) == after
    with pytest.raises(Malformed):
        after.board_view()


def test_leaving_needs_the_old_policy_as_well() -> None:
    move = Move()
    with pytest.raises(Untrusted, match="no-quorum"):
        verify_bundle(
            move.belief,
            move.old.bundle(witnesses=0),
            key=move.old.head_key,
            now=move.old.time,
            maker_links=[move.link],
        )


def test_the_next_check_in_asks_for_the_new_boards_record() -> None:
    move = Move()
    moved = move.judged(move.belief, move.old, maker_links=[move.link])
    with pytest.raises(MissingLinks) as missing:
        move.judged(moved, move.haven)
    asked = missing.value
    assert (asked.record, asked.since, asked.digest) == ("board", -1, move.haven.board_link)
    there = move.judged(moved, move.haven, board_links=move.haven.board_chain)
    assert there.board_view() == move.haven.board_record
    assert there.root == move.haven.checkpoint.root
    assert move.judged(there, move.haven) == there


def test_the_new_board_may_have_moved_on_meanwhile() -> None:
    move = Move()
    moved = move.judged(move.belief, move.old, maker_links=[move.link])
    move.haven.board_set([*move.haven.names, "operator4"])
    with pytest.raises(MissingLinks) as missing:
        move.judged(moved, move.haven, board_links=move.haven.board_chain[:1])
    assert missing.value.since == -1
    there = move.judged(moved, move.haven, board_links=move.haven.board_chain)
    assert there.board_view() == move.haven.board_record


def test_a_bundle_of_the_old_board_is_worth_nothing_after_the_move() -> None:
    move = Move()
    recorded = move.old.bundle()
    moved = move.judged(move.belief, move.old, maker_links=[move.link])
    moved = move.judged(moved, move.haven, board_links=move.haven.board_chain)
    with pytest.raises(Untrusted):
        verify_bundle(moved, recorded, key=move.old.head_key, now=None)


def test_after_grace_the_makers_links_alone_suffice() -> None:
    move = Move()
    moved = believe_links(move.belief, [move.link])
    assert (moved.board, moved.root, moved.timestamp) == (move.haven.id, None, 0)
    there = move.judged(moved, move.haven, board_links=move.haven.board_chain)
    assert there.maker_view() == move.haven.maker_record


def test_on_the_same_board_nothing_that_was_seen_is_forgotten() -> None:
    board = PaperBoard(witnesses=1)
    belief, _ = believe(board.provisioning())
    belief = verify_bundle(belief, board.bundle(), key=board.head_key, now=None).belief
    links = [
        board.maker_set(name="two"),
        board.maker_set(policy={"witnesses": (), "witnesses_needed": 0}),
    ]
    after = believe_links(belief, links)
    assert (after.size, after.root, after.timestamp) == (
        belief.size,
        belief.root,
        belief.timestamp,
    )
    assert after.maker_view() == board.maker_record


def test_links_that_roots_did_not_sign_free_nobody() -> None:
    move = Move()
    board = PaperBoard(operators=3, witnesses=1)
    forged = board.maker_set(signers=board.keys.root[:1])
    with pytest.raises(Untrusted, match="link-threshold"):
        believe_links(move.belief, [forged])
    with pytest.raises(MissingLinks):
        believe_links(move.belief, [])


def test_grace_is_counted_and_zero_is_never() -> None:
    assert not is_grace_over(90, 89)
    assert is_grace_over(90, 90)
    assert not is_grace_over(0, 10**9)
