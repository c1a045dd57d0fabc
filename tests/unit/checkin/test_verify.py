# SPDX-License-Identifier: Apache-2.0
"""The steps in their order; attacks on them stand in tests/attacks/test_checkin_attacks.py."""

from dataclasses import replace
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.checkin.belief import Belief, believe
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.checkin.chains import MissingLinks
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.errors import Malformed, Misbehaviour, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.records import map_keys
from fieldpost.records.limits import MAX_CHECKIN_BYTES, MAX_PROOF_BYTES
from fieldpost.records.maker import decode_maker_record
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.testing.bundles import PaperBoard


def start(board: PaperBoard) -> Belief:
    return believe(board.provisioning())[0]


def judged(belief: Belief, board: PaperBoard, data: bytes | None = None, **given: Any) -> Verified:
    arguments: dict[str, Any] = {"key": board.head_key, "now": board.time} | given
    return verify_bundle(belief, board.bundle() if data is None else data, **arguments)


def test_a_check_in_is_believed_whole() -> None:
    board = PaperBoard(operators=3, witnesses=1)
    board.offer(board.release(11))
    verified = judged(start(board), board)
    after = verified.belief
    assert (after.size, after.root) == (board.checkpoint.size, board.checkpoint.root)
    assert after.timestamp == verified.timestamp == board.time
    assert after.bundle == board.bundle()
    assert verified.head == board.head
    assert verified.value == board.head.encode()
    assert (verified.stale, verified.moved, verified.moved_board) == (False, False, False)


def test_the_same_bundle_again_is_accepted_and_changes_nothing() -> None:
    """What an image on trial verifies when it was applied offline."""
    board = PaperBoard(operators=3)
    once = judged(start(board), board).belief
    assert judged(once, board, once.bundle).belief == once


def test_a_later_time_at_the_same_size_is_news() -> None:
    board = PaperBoard()
    first = judged(start(board), board).belief
    board.time += 60
    assert judged(first, board).belief.timestamp == first.timestamp + 60


def test_size_is_judged_before_signatures_and_signatures_before_history() -> None:
    board = PaperBoard(operators=3)
    other = board.fork()
    board.seal([b"one"])
    other.seal([b"two"])
    belief = judged(start(board), board).belief
    small = replace(belief, size=belief.size + 1)
    with pytest.raises(Untrusted, match="not-newer"):
        judged(small, other, other.bundle(operators=0))
    with pytest.raises(Untrusted, match="no-quorum"):
        judged(belief, other, other.bundle(operators=2))
    with pytest.raises(Misbehaviour, match="split-view"):
        judged(belief, other)


def test_records_other_than_heads_are_proven_by_the_same_verifier() -> None:
    board = PaperBoard(operators=2)
    belief = start(board)
    key = map_keys.maker(board.maker_id)
    verified = judged(belief, board, board.bundle(key), key=key, head=False)
    assert verified.head is None
    assert decode_maker_record(verified.value or b"") == board.maker_record


def test_absence_is_proven_too() -> None:
    board = PaperBoard(operators=2)
    for head in (True, False):
        key = map_keys.head(board.class_id, "beta")
        verified = judged(start(board), board, board.bundle(key), key=key, head=head)
        assert (verified.value, verified.head) == (None, None)


def test_the_evidence_of_a_proof_is_kept_without_its_value() -> None:
    board = PaperBoard(operators=2)
    key = map_keys.maker(board.maker_id)
    after = judged(start(board), board, board.bundle(key), key=key, head=False).belief
    kept = decode_bundle(after.bundle or b"", most_bytes=MAX_PROOF_BYTES)
    whole = decode_bundle(board.bundle(key), most_bytes=MAX_PROOF_BYTES)
    assert kept == replace(whole, value=None, path=b"")


def test_a_post_quantum_check_in_is_taken_where_its_size_is_allowed() -> None:
    board = PaperBoard(operators=3, post_quantum=True)
    data = board.bundle(algorithm=Algorithm.ML_DSA_44)
    assert len(data) > MAX_CHECKIN_BYTES
    with pytest.raises(Malformed):
        judged(start(board), board, data)
    assert judged(start(board), board, data, most_bytes=MAX_PROOF_BYTES).head == board.head


def test_a_head_with_an_unknown_critical_label_is_unsupported() -> None:
    board = PaperBoard()
    strange = cbor.decode(board.head.encode())
    assert isinstance(strange, dict)
    value = cbor.encode(strange | {9: 1})
    board.map = board.map.update({board.head_key: value})
    belief = start(board)
    board.state_leaf = replace_root(board)
    with pytest.raises(Untrusted, match="unsupported"):
        judged(belief, board)
    value = cbor.encode(strange | {-9: 1})
    board.map = board.map.update({board.head_key: value})
    board.state_leaf = replace_root(board)
    assert judged(belief, board).head == board.head


def replace_root(board: PaperBoard) -> bytes:
    return replace(decode_state_leaf(board.state_leaf), map_root=board.map.root).encode()


# --- chains that move ---


def test_links_are_asked_for_and_followed() -> None:
    board = PaperBoard(operators=4)
    belief = start(board)
    board_links = [board.board_set([*board.names, "operator4"])]
    board_links.append(board.board_set([*board.names, "operator5"]))
    maker_links = [board.maker_set(name="new name"), board.maker_set(name="newer name")]
    with pytest.raises(MissingLinks) as missing:
        judged(belief, board)
    asked = missing.value
    assert (asked.record, asked.since, asked.digest) == ("board", 0, board.board_link)
    assert asked.reason == "missing-links"
    with pytest.raises(MissingLinks) as missing:
        judged(belief, board, board_links=board_links)
    asked = missing.value
    assert (asked.record, asked.since, asked.digest) == ("maker", 0, board.maker_link)
    verified = judged(belief, board, board_links=board_links, maker_links=maker_links)
    assert verified.moved
    assert not verified.moved_board
    assert verified.belief.board_view() == board.board_record
    assert verified.belief.maker_view() == board.maker_record
    assert not judged(verified.belief, board).moved


def test_links_that_do_not_reach_are_missing() -> None:
    board = PaperBoard()
    belief = start(board)
    first, _ = board.maker_set(name="two"), board.maker_set(name="three")
    with pytest.raises(MissingLinks):
        judged(belief, board, maker_links=[first])


def test_a_chain_is_not_believed_without_a_bundle_that_verifies() -> None:
    board = PaperBoard(operators=4)
    belief = start(board)
    link = board.board_set(["operator0", "operator1", "operator2", "operator9"])
    with pytest.raises(Untrusted, match="no-quorum"):
        judged(belief, board, board.bundle(operators=2), board_links=[link])
    # The new record's quorum publishes the batch that brings it.
    assert judged(belief, board, board_links=[link]).moved


def test_an_older_board_epoch_is_not_newer() -> None:
    board = PaperBoard(operators=4)
    behind = board.fork()
    link = board.board_set([*board.names, "operator4"])
    belief = judged(start(behind), board, board_links=[link]).belief
    behind.seal()
    behind.seal()
    with pytest.raises(Untrusted, match="not-newer"):
        judged(belief, behind)


def test_a_new_policy_must_hold_for_the_bundle_that_brings_it() -> None:
    board = PaperBoard(operators=1, witnesses=2, policy={"witnesses": (), "witnesses_needed": 0})
    belief = start(board)
    witnesses = tuple(witness.key for witness in board.board_record.witnesses)
    link = board.maker_set(policy={"witnesses": witnesses, "witnesses_needed": 2})
    with pytest.raises(Untrusted, match="no-quorum"):
        judged(belief, board, board.bundle(witnesses=1), maker_links=[link])
    assert judged(belief, board, maker_links=[link]).belief.policy.witnesses_needed == 2


def test_a_policy_between_that_nobody_can_meet_does_not_lock_devices_out() -> None:
    """Old policy and last one judge; what a maker corrected meanwhile does not."""
    board = PaperBoard(operators=1, witnesses=1)
    belief = start(board)
    wrong = PaperBoard(operators=1, witnesses=2).board_record.witnesses[1].key
    good = belief.policy.witnesses
    links = [
        board.maker_set(policy={"witnesses": (wrong,)}),
        board.maker_set(policy={"witnesses": good}),
    ]
    with pytest.raises(MissingLinks):
        judged(belief, board, maker_links=links[:1])
    assert judged(belief, board, maker_links=links).belief.policy.witnesses == good


def test_the_new_max_age_judges_staleness() -> None:
    board = PaperBoard()
    belief = start(board)
    link = board.maker_set(policy={"max_age_s": 60})
    later = board.time + 61
    assert judged(belief, board, maker_links=[link], now=later).stale
    assert not judged(belief, board, maker_links=[link], now=later - 1).stale


def test_a_policys_least_size_is_a_floor() -> None:
    board = PaperBoard()
    belief = start(board)
    link = board.maker_set(policy={"least_size": board.checkpoint.size + 4})
    with pytest.raises(Untrusted, match="not-newer"):
        judged(belief, board, maker_links=[link])
    board.seal()
    assert judged(belief, board, maker_links=[link]).moved


def test_time_does_not_fall_at_one_size_when_a_policy_changes() -> None:
    """A proof may come first at a size; the head's new policy may vouch for an earlier T only."""
    board = PaperBoard(operators=1, witnesses=1, policy={"witnesses": (), "witnesses_needed": 0})
    belief = start(board)
    witnesses = tuple(witness.key for witness in board.board_record.witnesses)
    link = board.maker_set(policy={"witnesses": witnesses, "witnesses_needed": 1})
    key = map_keys.board()
    belief = judged(belief, board, board.bundle(key), key=key, head=False).belief
    late = board.cosignatures(witnesses=0)
    early = board.cosignatures(operators=0, timestamp=board.time - 100)
    verified = judged(belief, board, board.bundle_with([*late, *early]), maker_links=[link])
    assert verified.timestamp == board.time - 100
    assert verified.belief.timestamp == board.time
