# SPDX-License-Identifier: Apache-2.0
"""Chains of links: who must sign, and where they must end."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from fieldpost.checkin.chains import (
    MissingLinks,
    Tip,
    find_board_record,
    follow_board_links,
    follow_maker_links,
)
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.posts.envelope import Post, decode_post, sign_post
from fieldpost.testing.actors import OperatorActor
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.maker_keys import MakerKeys


def board_tip(board: PaperBoard) -> Tip:
    return Tip(board.board_record.encode(), board.board_link)


def maker_tip(board: PaperBoard) -> Tip:
    return Tip(board.maker_record.encode(), board.maker_link)


def resigned(entry: bytes, board: PaperBoard, **changes: Any) -> bytes:
    """The maker's link with other claims, honestly signed."""
    statement = replace(decode_post(entry).statement, **changes)
    return sign_post(statement, board.keys.root).encode()


def digest(entry: bytes) -> bytes:
    return sha256(entry).digest()


# --- makers ---


def follow(tip: Tip, board: PaperBoard, *entries: bytes, **given: Any) -> Tip:
    arguments = {"until": digest(entries[-1]), "maker": board.maker_id} | given
    return follow_maker_links(tip, entries, **arguments)


def test_a_key_rotation_needs_old_and_new_threshold() -> None:
    old = MakerKeys()
    new = replace(old, name="acme-two", root_threshold=3, roots=4)
    cases: list[tuple[list[Any], bool]] = [
        ([*old.root[:2], *new.root[:3]], True),
        ([*old.root[:1], *new.root], False),
        ([*old.root, *new.root[:2]], False),
        ([*old.root], False),
        ([*new.root], False),
    ]
    for signers, accepted in cases:
        board = PaperBoard(maker=old)
        tip = maker_tip(board)
        link = board.maker_set(keys=new, signers=signers)
        if accepted:
            assert follow(tip, board, link) == maker_tip(board)
        else:
            with pytest.raises(Untrusted, match="link-threshold"):
                follow(tip, board, link)


def test_the_proofs_of_possession_of_other_keys_are_ignored() -> None:
    board = PaperBoard()
    tip = maker_tip(board)
    link = board.maker_set(signers=[*board.keys.root[:2], *board.keys.release])
    assert follow(tip, board, link).link == board.maker_link


def test_a_long_chain_is_followed_through_every_rotation() -> None:
    board = PaperBoard()
    tip = maker_tip(board)
    names = [f"generation{n}" for n in range(6)]
    links = [board.maker_set(keys=replace(board.keys, name=name)) for name in names]
    assert follow(tip, board, *links) == maker_tip(board)
    with pytest.raises(Untrusted, match="link-threshold"):
        follow(tip, board, links[0], *links[2:])


def test_what_follows_the_digest_is_ignored() -> None:
    board = PaperBoard()
    tip = maker_tip(board)
    link = board.maker_set()
    there = maker_tip(board)
    more = [board.maker_set(), b"rubbish"]
    assert follow(tip, board, link, *more, until=there.link) == there
    assert follow(there, board, *more, until=there.link) == there


def test_links_that_end_elsewhere_are_missing() -> None:
    board = PaperBoard()
    tip = maker_tip(board)
    link = board.maker_set()
    with pytest.raises(MissingLinks) as missing:
        follow(tip, board, link, until=bytes(32))
    assert (missing.value.record, missing.value.since) == ("maker", 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "maker.register"},
        {"subject": "00"},
        {"issuer": "somebody"},
        {"audience": "elsewhere.test/1#" + "0" * 32},
    ],
)
def test_a_link_of_other_claims_is_bad(changes: dict[str, Any]) -> None:
    board = PaperBoard()
    tip = maker_tip(board)
    with pytest.raises(Untrusted, match="bad-link"):
        follow(tip, board, resigned(board.maker_set(), board, **changes))


@pytest.mark.parametrize("changes", [{"epoch": 2}, {"previous": bytes(32)}])
def test_a_link_that_does_not_follow_is_bad(changes: dict[str, Any]) -> None:
    board = PaperBoard()
    tip = maker_tip(board)
    with pytest.raises(Untrusted, match="bad-link"):
        follow(tip, board, board.maker_set(**changes))


def test_after_a_move_links_are_for_the_board_that_the_last_policy_names() -> None:
    board = PaperBoard()
    tip = maker_tip(board)
    haven = PaperBoard(origin="haven.test/1")
    leaving = board.maker_set(policy={"board": haven.id, "board_link": haven.board_link})
    there = board.maker_set(name="there")
    assert decode_post(there).statement.audience == haven.id
    assert follow(tip, board, leaving, there).link == digest(there)
    with pytest.raises(Untrusted, match="bad-link"):
        follow(tip, board, leaving, resigned(there, board, audience=board.id))


def test_a_bad_signature_of_a_root_key_refuses_the_link() -> None:
    board = PaperBoard()
    tip = maker_tip(board)
    post = decode_post(board.maker_set(signers=board.keys.root))
    for spoil in (
        lambda s: replace(s, signature=bytes(64)),
        lambda s: replace(s, algorithm=Algorithm.ESP256),
    ):
        with pytest.raises(Untrusted, match="bad-signature"):
            follow(tip, board, spoilt(post, spoil))


def spoilt(post: Post, spoil: Callable[[Any], Any]) -> bytes:
    first, *others = post.signatures
    return replace(post, signatures=(spoil(first), *others)).encode()


def test_a_single_root_signs_with_one_signature() -> None:
    board = PaperBoard(maker=MakerKeys(root_threshold=1, roots=1))
    tip = maker_tip(board)
    link = board.maker_set()
    assert link[0] == 0xD2  # tag 18
    assert follow(tip, board, link).link == digest(link)


def test_a_root_key_counts_only_if_the_device_verifies_its_algorithm() -> None:
    board = PaperBoard(maker=MakerKeys(algorithm=Algorithm.ESP256))
    tip = maker_tip(board)
    link = board.maker_set()
    assert follow(tip, board, link, algorithms={Algorithm.ESP256}).link == digest(link)
    with pytest.raises(Untrusted, match="link-threshold"):
        follow(tip, board, link, algorithms={Algorithm.ED25519})


# --- boards ---


def governors(board: PaperBoard, *numbers: int) -> list[Any]:
    return [OperatorActor(f"operator{n}", board.origin).governance for n in numbers]


def follow_board(tip: Tip, board: PaperBoard, *entries: bytes) -> Tip:
    return follow_board_links(tip, entries, until=digest(entries[-1]), board=board.id)


def test_a_board_link_needs_the_old_quorum_only() -> None:
    for signers, accepted in (((0, 1, 2), True), ((1, 2, 3, 9), True), ((0, 1, 8, 9), False)):
        board = PaperBoard(operators=4)
        tip = board_tip(board)
        names = [f"operator{n}" for n in range(10)]
        link = board.board_set(names, signers=governors(board, *signers))
        if accepted:
            assert follow_board(tip, board, link) == board_tip(board)
        else:
            with pytest.raises(Untrusted, match="link-threshold"):
                follow_board(tip, board, link)


def test_a_board_may_change_hands_step_by_step() -> None:
    board = PaperBoard(operators=3)
    tip = board_tip(board)
    first = board.board_set(["operator1", "operator2", "operator3"])
    second = board.board_set(["operator3", "operator4", "operator5"])
    assert follow_board(tip, board, first, second) == board_tip(board)
    with pytest.raises(Untrusted, match="link-threshold"):
        follow_board(tip, board, second)


@pytest.mark.parametrize(
    "changes", [{"epoch": 2}, {"previous": bytes(32)}, {"audience": "board.test/1#" + "0" * 32}]
)
def test_a_board_link_that_does_not_follow_is_bad(changes: dict[str, Any]) -> None:
    board = PaperBoard(operators=2)
    tip = board_tip(board)
    with pytest.raises(Untrusted, match="bad-link"):
        follow_board(tip, board, board.board_set(board.names, **changes))


def test_a_boards_first_record_is_found_by_its_digest_alone() -> None:
    board = PaperBoard(operators=2)
    genesis = board.board_chain[0]
    link = board.board_set([*board.names, "operator2"])
    tip, rest = find_board_record(board.id, [genesis, link], epoch=0, link=digest(genesis))
    assert (digest(genesis), (link,)) == (tip.link, tuple(rest))
    tip, rest = find_board_record(board.id, [genesis, link], epoch=1, link=digest(link))
    assert (board_tip(board), ()) == (tip, tuple(rest))
    with pytest.raises(MissingLinks) as missing:
        find_board_record(board.id, [genesis], epoch=1, link=digest(link))
    assert (missing.value.record, missing.value.since) == ("board", 0)


def test_another_boards_record_is_not_taken() -> None:
    board, other = PaperBoard(), PaperBoard(operators=2)
    genesis = other.board_chain[0]
    with pytest.raises(Untrusted, match="bad-link"):
        find_board_record(board.id, [genesis], epoch=0, link=digest(genesis))
    with pytest.raises(Untrusted, match="bad-link"):
        find_board_record(other.id, [genesis], epoch=3, link=digest(genesis))


def test_rubbish_is_malformed() -> None:
    board = PaperBoard()
    with pytest.raises(Malformed):
        follow_board(board_tip(board), board, b"rubbish")
    with pytest.raises(Malformed):
        follow(maker_tip(board), board, b"rubbish")
