# SPDX-License-Identifier: Apache-2.0
"""Laws of the check-in: whatever a relay does to a bundle, nothing newer is believed."""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.checkin.belief import Belief, believe, decode_belief
from fieldpost.checkin.bundle import decode_bundle, encode_bundle
from fieldpost.checkin.offers import choose_offer
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.errors import Malformed, Misbehaviour, Untrusted
from fieldpost.records.head import Head, Offer
from fieldpost.records.limits import MAX_CHECKIN_BYTES
from fieldpost.testing.bundles import PaperBoard

FILLER: Final = {bytes((n,)) * 32: bytes((n,)) * 20 for n in range(40)}


def board_of_two() -> PaperBoard:
    board = PaperBoard(operators=3, witnesses=2, values=FILLER)
    for _ in range(9):
        board.seal()
    board.offer(board.release(12, threshold=2**30), board.release(11))
    return board


BOARD: Final = board_of_two()
GENUINE: Final = BOARD.bundle()
FRESH, _ = believe(BOARD.provisioning(least_size=1))


def judged(data: bytes, belief: Belief = FRESH) -> Verified:
    return verify_bundle(belief, data, key=BOARD.head_key, now=BOARD.time)


def outcome(data: bytes, belief: Belief = FRESH, board: PaperBoard = BOARD) -> Verified | str:
    """What was verified, or the word for why not; an alarm fails the test."""
    try:
        return verify_bundle(belief, data, key=board.head_key, now=board.time)
    except Malformed:
        return "malformed"
    except Misbehaviour as error:
        pytest.fail(f"a relay raised an alarm: {error}")
    except Untrusted as error:
        return error.reason


EXPECTED: Final = judged(GENUINE)


def check_not_newer(verified: Verified) -> None:
    """What is believed is what the board said, at most at an earlier time."""
    genuine = EXPECTED.belief
    assert (verified.belief.size, verified.belief.root) == (genuine.size, genuine.root)
    assert verified.head == EXPECTED.head
    assert verified.timestamp <= EXPECTED.timestamp
    assert not verified.moved


def test_every_one_bit_flip_is_refused_or_says_nothing_newer() -> None:
    """All of them: on a device that has seen nothing, and on one that has seen this bundle."""
    accepted = 0
    for at in range(len(GENUINE) * 8):
        data = bytearray(GENUINE)
        data[at // 8] ^= 1 << (at % 8)
        for belief in (FRESH, EXPECTED.belief):
            verified = outcome(bytes(data), belief)
            if isinstance(verified, Verified):
                check_not_newer(verified)
                accepted += 1
    # All three operators and both witnesses are needed, so there is nothing that may be spared.
    assert accepted == 0


def test_with_a_cosignature_to_spare_a_flip_may_only_lose_it() -> None:
    board = PaperBoard(operators=4)
    belief, _ = believe(board.provisioning())
    genuine = verify_bundle(belief, board.bundle(), key=board.head_key, now=board.time)
    data, accepted = board.bundle(), 0
    for at in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << (at % 8)
        verified = outcome(bytes(flipped), belief, board)
        if isinstance(verified, str):
            continue
        assert replace(verified.belief, bundle=None) == replace(genuine.belief, bundle=None)
        accepted += 1
    # Exactly the four key ids of 32 bits: a stranger's signature is ignored.
    assert accepted == 4 * 32


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_family(data: bytes) -> None:
    with pytest.raises((Malformed, Untrusted)):
        judged(data)


@given(
    start=st.integers(0, len(GENUINE)),
    length=st.integers(0, len(GENUINE)),
    patch=st.binary(max_size=40),
)
def test_any_splice_is_refused_or_says_nothing_newer(start: int, length: int, patch: bytes) -> None:
    data = GENUINE[:start] + patch + GENUINE[start + length :]
    verified = outcome(data)
    if isinstance(verified, Verified):
        check_not_newer(verified)


@given(st.lists(st.integers(0, 4), max_size=16))
def test_dropping_repeating_and_reordering_cosignatures_never_helps(keep: list[int]) -> None:
    """Only who cosigned counts: all three operators and both witnesses, each once."""
    opened = decode_bundle(GENUINE, most_bytes=MAX_CHECKIN_BYTES)
    data = encode_bundle(replace(opened, cosignatures=tuple(opened.cosignatures[n] for n in keep)))
    verified = outcome(data)
    if set(keep) == set(range(5)):
        assert isinstance(verified, Verified)
        check_not_newer(verified)
    else:
        assert verified == "no-quorum"


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3_600)), min_size=1, max_size=8))
def test_size_never_falls_and_time_never_falls_at_one_size(steps: list[tuple[int, int]]) -> None:
    """However bundles of one honest board are mixed, old ones are refused and belief only grows."""
    board = PaperBoard(operators=1)
    belief, _ = believe(board.provisioning())
    bundles = []
    for batches, seconds in steps:
        for _ in range(batches):
            board.seal()
        board.time += seconds
        bundles.append(board.bundle())
    order = sorted(range(len(bundles)), key=lambda n: (steps[n], n))
    for number in order:
        verified = outcome(bundles[number], belief, board)
        if isinstance(verified, str):
            assert verified == "not-newer"
            continue
        before, belief = belief, verified.belief
        assert belief.size >= before.size
        if belief.size == before.size and before.root is not None:
            assert belief.timestamp >= before.timestamp
            assert belief.root == before.root
    assert decode_belief(belief.encode()) == belief


@given(
    sequences=st.lists(st.integers(1, 100), max_size=4, unique=True),
    thresholds=st.lists(st.integers(0, 2**32), min_size=4, max_size=4),
    running=st.integers(0, 100),
    device=st.binary(min_size=32, max_size=32),
    more=st.integers(0, 2**32),
)
def test_an_offer_only_goes_forward_and_cohorts_only_grow(
    sequences: list[int], thresholds: list[int], running: int, device: bytes, more: int
) -> None:
    offers = tuple(
        Offer(sequence=sequence, manifest=bytes(32), threshold=threshold, salt=bytes(8))
        for sequence, threshold in zip(sorted(sequences, reverse=True), thresholds, strict=False)
    )
    head = Head(change_count=1, offers=offers, interval_s=60, maker_epoch=0, maker_link=bytes(32))
    found = choose_offer(head, running=running, device=device, lot=None, timestamp=0)
    if found is None:
        return
    assert found.sequence > running
    grown = tuple(replace(o, threshold=max(o.threshold, more)) for o in offers)
    after = choose_offer(
        replace(head, offers=grown), running=running, device=device, lot=None, timestamp=0
    )
    assert after is not None
    assert after.sequence >= found.sequence


@given(cosigners=st.integers(1, 7), filler=st.integers(0, 60))
def test_a_check_in_of_a_small_board_is_small(cosigners: int, filler: int) -> None:
    values = dict(list(FILLER.items())[: min(filler, len(FILLER))])
    board = PaperBoard(operators=cosigners, values=values)
    board.offer(board.release(12), board.release(11))
    # Head ≤ 256 B, leaf ≤ 128 B, a cosignature ≤ 78 B; 34 B for every level of map and tree.
    levels = 2 * len(board.map).bit_length() + 4 + len(board.edge)
    assert len(board.bundle()) <= 256 + 128 + 78 * cosigners + 34 * levels
    decode_bundle(board.bundle(), most_bytes=MAX_CHECKIN_BYTES)
