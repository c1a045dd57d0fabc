# SPDX-License-Identifier: Apache-2.0
"""What a device believes at first, and how it keeps it."""

from dataclasses import replace
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.checkin.belief import believe, decode_belief
from fieldpost.checkin.verify import verify_bundle
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.posts.envelope import decode_post, sign_post
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.maker_keys import MakerKeys

BOARD = PaperBoard(operators=2)


def test_a_provisioning_record_is_the_first_belief() -> None:
    belief, record = believe(BOARD.provisioning(least_size=7))
    assert (belief.board, belief.maker) == (BOARD.id, BOARD.maker_id)
    assert belief.board_view() == BOARD.board_record
    assert belief.maker_view() == BOARD.maker_record
    assert (belief.board_link, belief.maker_link) == (BOARD.board_link, BOARD.maker_link)
    assert (belief.size, belief.root, belief.timestamp, belief.bundle) == (7, None, 0, None)
    assert record.class_id == BOARD.class_id


def test_the_policy_may_demand_more_than_the_least_size() -> None:
    board = PaperBoard(policy={"least_size": 50})
    belief, _ = believe(board.provisioning(least_size=7))
    assert belief.size == 50


def test_it_is_signed_by_the_root_threshold() -> None:
    roots = BOARD.keys.root
    believe(BOARD.provisioning(signers=roots))
    believe(BOARD.provisioning(signers=roots[1:]))
    believe(BOARD.provisioning(signers=[*roots[:2], *BOARD.keys.release]))
    with pytest.raises(Untrusted, match="provisioning-threshold"):
        believe(BOARD.provisioning(signers=[roots[0], *BOARD.keys.release]))


def test_a_bad_signature_of_a_root_key_refuses_it() -> None:
    post = decode_post(BOARD.provisioning(signers=BOARD.keys.root))
    first, *others = post.signatures
    bad = replace(post, signatures=(replace(first, signature=bytes(64)), *others))
    with pytest.raises(Untrusted, match="bad-signature"):
        believe(bad.encode())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"board": "elsewhere.test/1#" + "0" * 32}, "wrong-board"),
        ({"board": "board.test/1#" + "0" * 32}, "wrong-board"),
        ({"board_link": bytes(32)}, "wrong-board"),
        ({"maker": bytes(16)}, "wrong-maker"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Untrusted, match=reason):
        believe(BOARD.provisioning(**changes))


@pytest.mark.parametrize(
    "claim", [{"issuer": "somebody"}, {"subject": "somebody"}, {"audience": "somebody"}]
)
def test_claims_that_are_not_the_records_own_are_refused(claim: dict[str, Any]) -> None:
    post = decode_post(BOARD.provisioning())
    statement = replace(post.statement, **claim)
    with pytest.raises(Malformed):
        believe(sign_post(statement, BOARD.keys.root).encode())


def test_another_kind_of_post_provisions_nothing() -> None:
    post = decode_post(BOARD.provisioning())
    statement = replace(post.statement, kind="maker.register")
    with pytest.raises(Untrusted, match="wrong-kind"):
        believe(sign_post(statement, BOARD.keys.root).encode())


def test_keys_of_algorithms_that_the_device_lacks_do_not_count() -> None:
    board = PaperBoard(maker=MakerKeys(algorithm=Algorithm.ESP256))
    believe(board.provisioning())
    with pytest.raises(Untrusted, match="provisioning-threshold"):
        believe(board.provisioning(), algorithms={Algorithm.ED25519})


def test_a_belief_survives_encoding_before_and_after_a_check_in() -> None:
    belief, _ = believe(BOARD.provisioning())
    assert decode_belief(belief.encode()) == belief
    after = verify_bundle(belief, BOARD.bundle(), key=BOARD.head_key, now=None).belief
    assert decode_belief(after.encode()) == after
    assert after.bundle == BOARD.bundle()


def test_a_torn_file_is_no_belief() -> None:
    data = believe(BOARD.provisioning())[0].encode()
    for length in range(0, len(data), 7):
        with pytest.raises(Malformed):
            decode_belief(data[:length])
    with pytest.raises(Malformed):
        decode_belief(cbor.encode({1: BOARD.id}))
