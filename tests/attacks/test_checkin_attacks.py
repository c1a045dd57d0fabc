# SPDX-License-Identifier: Apache-2.0
"""Attacks on a single check-in, by name; each ends with what is believed afterwards.

For each there is a control: the same attack succeeds where the one defence that stops it is off.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from fieldpost.checkin.bundle import Bundle, decode_bundle, encode_bundle
from fieldpost.checkin.freshness import is_stale
from fieldpost.checkin.verify import verify_bundle
from fieldpost.errors import Misbehaviour
from fieldpost.keys import Algorithm
from fieldpost.records import map_keys
from fieldpost.records.head import decode_head
from fieldpost.records.limits import MAX_PROOF_BYTES
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from tests.attacks.paper_device import DAY, Device, sequences


@pytest.fixture
def board() -> PaperBoard:
    """Four operators, of whom three must cosign, and two witnesses, who both must."""
    board = PaperBoard(operators=4, witnesses=2)
    board.offer(board.release(11))
    return board


@pytest.fixture
def device(board: PaperBoard) -> Device:
    """A device that has seen the board offer sequence 11."""
    device = Device(board)
    assert sequences(device.check_in(board.bundle())) == [11]
    return device


def opened(data: bytes) -> Bundle:
    return decode_bundle(data, most_bytes=MAX_PROOF_BYTES)


def impostors(board: PaperBoard, names: Sequence[str] = ("eve0", "eve1", "eve2")) -> PaperBoard:
    """The attacker's copy of the board: the same origin and history, other cosigners."""
    copy = board.fork()
    copy.names = tuple(names)
    copy.witness_names = tuple(f"{name}-too" for name in names[:2])
    return copy


# --- the bundle itself ---


def test_a_tampered_value_is_not_believed(board: PaperBoard, device: Device) -> None:
    board.seal()
    genuine = opened(board.bundle())
    head = decode_head(genuine.value or b"")
    evil = replace(head, offers=(board.release(99),)).encode()
    tampered = encode_bundle(replace(genuine, value=evil))
    device.refuses(tampered, "bad-proof")
    assert sequences(device.check_in(board.bundle())) == [11]
    with without(Defence.VALUE_PROOF):
        assert sequences(device.check_in(tampered)) == [99]


def test_the_head_of_another_class_is_not_believed() -> None:
    other_key = map_keys.head(b"\x01" * 16, "stable")
    plain = PaperBoard(operators=4)
    other = replace(plain.head, offers=(plain.release(50),)).encode()
    board = PaperBoard(operators=4, values={other_key: other})
    device = Device(board)
    device.refuses(board.bundle(other_key), "bad-proof")
    assert device.belief.root is None
    with without(Defence.VALUE_PROOF):
        assert sequences(device.check_in(board.bundle(other_key))) == [50]


def test_a_proof_of_absence_does_not_hide_a_head(board: PaperBoard, device: Device) -> None:
    absent = board.bundle(map_keys.head(board.class_id, "beta"))
    device.refuses(absent, "bad-proof")
    with without(Defence.VALUE_PROOF):
        assert device.check_in(absent).head is None


# --- who cosigned ---


def test_a_forged_cosignature_refuses_the_bundle(board: PaperBoard, device: Device) -> None:
    genuine_ids = [c.key_id for c in board.cosignatures()]
    evil = impostors(board, ("eve0", "eve1", "eve2", "eve3"))
    evil.offer(evil.release(99))
    forged = [
        replace(cosignature, key_id=key_id)
        for cosignature, key_id in zip(evil.cosignatures(), genuine_ids, strict=True)
    ]
    device.refuses(evil.bundle_with(forged), "bad-signature")
    with without(Defence.COSIGNATURE):
        assert sequences(device.check_in(evil.bundle_with(forged))) == [99]


def test_one_forged_cosignature_beside_a_quorum_refuses_too(
    board: PaperBoard, device: Device
) -> None:
    board.seal()
    *good, last = board.cosignatures()
    bad = replace(last, signature=bytes(64))
    device.refuses(board.bundle_with([*good, bad]), "bad-signature")
    assert device.check_in(board.bundle()).belief.size == board.checkpoint.size


@pytest.mark.parametrize(
    ("operators", "witnesses"), [(2, 2), (3, 1), (4, 1), (0, 2), (4, 0), (0, 0)]
)
def test_one_cosignature_too_few_is_no_quorum(
    board: PaperBoard, device: Device, operators: int, witnesses: int
) -> None:
    board.offer(board.release(12), board.release(11))
    short = board.bundle(operators=operators, witnesses=witnesses)
    device.refuses(short, "no-quorum")
    with without(Defence.QUORUM):
        assert sequences(device.check_in(short)) == [12, 11]


def test_an_operator_with_two_keys_has_one_vote() -> None:
    board = PaperBoard(operators=4, post_quantum=True)
    device = Device(board)
    both = [
        cosignature
        for algorithm in (Algorithm.ED25519, Algorithm.ML_DSA_44)
        for cosignature in board.cosignatures(operators=2, algorithm=algorithm)
    ]
    twice = board.bundle_with(both)
    assert len(both) == 4
    device.refuses(twice, "no-quorum", most_bytes=MAX_PROOF_BYTES)
    third = board.cosignatures(algorithm=Algorithm.ML_DSA_44)[2]
    device.check_in(board.bundle_with([*both, third]), most_bytes=MAX_PROOF_BYTES)
    assert device.belief.root == board.checkpoint.root


def test_the_same_cosignature_again_is_one_vote(board: PaperBoard, device: Device) -> None:
    board.seal()
    one = board.cosignatures(operators=1, witnesses=0)
    witnesses = board.cosignatures(operators=0)
    device.refuses(board.bundle_with([*one * 4, *witnesses]), "no-quorum")


def test_a_stolen_release_key_needs_the_real_board(board: PaperBoard, device: Device) -> None:
    evil = impostors(board)
    evil.offer(evil.release(99))
    device.refuses(evil.bundle(), "no-quorum")
    assert sequences(device.check_in(board.bundle())) == [11]
    with without(Defence.QUORUM):
        offer = device.chosen(device.check_in(evil.bundle()))
    assert offer is not None
    assert device.manifest(board.envelope(99).encode(), offer).sequence == 99


# --- older states and other histories ---


def test_a_replayed_older_bundle_is_not_newer(board: PaperBoard, device: Device) -> None:
    recorded = board.bundle()
    board.offer(board.release(12))
    assert sequences(device.check_in(board.bundle())) == [12]
    device.refuses(recorded, "not-newer")
    device.refuses(recorded, "not-newer", now=None)
    with without(Defence.SIZE):
        assert sequences(device.check_in(recorded)) == [11]


def test_a_state_from_before_provisioning_is_not_newer(board: PaperBoard) -> None:
    recorded = board.bundle()
    board.offer(board.release(12))
    device = Device(board)
    device.refuses(recorded, "not-newer")
    with without(Defence.SIZE):
        assert sequences(device.check_in(recorded)) == [11]


def test_an_older_time_at_the_same_size_is_not_newer(board: PaperBoard, device: Device) -> None:
    recorded = board.bundle()
    board.time += DAY
    device.check_in(board.bundle())
    device.refuses(recorded, "not-newer")
    assert device.belief.timestamp == board.time
    with without(Defence.SAME_HISTORY):
        assert device.check_in(recorded).timestamp == board.time - DAY


def test_a_split_view_is_shown_with_both_bundles(board: PaperBoard, device: Device) -> None:
    other = board.fork()
    board.offer(board.release(12))
    other.offer(other.release(13))
    first = board.bundle()
    device.check_in(first)
    error = device.refuses(other.bundle(), "split-view")
    assert isinstance(error, Misbehaviour)
    assert error.evidence == (first, other.bundle())
    assert device.belief.root == board.checkpoint.root
    with without(Defence.SAME_HISTORY):
        assert sequences(device.check_in(other.bundle())) == [13]


def test_the_evidence_of_a_split_view_convinces_somebody_else(
    board: PaperBoard, device: Device
) -> None:
    provisioned = device.belief
    other = board.fork()
    board.seal([b"one history"])
    other.seal([b"another"])
    device.check_in(board.bundle())
    error = device.refuses(other.bundle(), "split-view")
    assert isinstance(error, Misbehaviour)
    seen = [
        verify_bundle(provisioned, data, key=board.head_key, now=None).belief
        for data in error.evidence
    ]
    assert seen[0].size == seen[1].size
    assert seen[0].root != seen[1].root


def test_nobody_without_keys_can_raise_an_alarm(board: PaperBoard, device: Device) -> None:
    """A fork that no quorum signed is refused as such: relays cannot cry split view."""
    evil = board.fork()
    board.seal([b"one history"])
    evil.seal([b"another"])
    device.check_in(board.bundle())
    device.refuses(evil.bundle(operators=2), "no-quorum")
    evil.names = ("eve0", "eve1", "eve2")
    device.refuses(evil.bundle(witnesses=0), "no-quorum")
    with without(Defence.QUORUM):
        device.refuses(evil.bundle(witnesses=0), "split-view")


# --- time ---


def test_a_freeze_is_noticed_by_a_clock(board: PaperBoard, device: Device) -> None:
    frozen = board.bundle()
    later = board.time + 7 * DAY + 1
    verified = device.check_in(frozen, now=later)
    assert verified.stale
    assert not device.check_in(frozen, now=later - 1).stale
    with without(Defence.STALENESS):
        assert not device.check_in(frozen, now=later).stale


def test_without_a_clock_a_freeze_is_noticed_after_max_age_of_uptime(
    board: PaperBoard, device: Device
) -> None:
    frozen = board.bundle()
    verified = device.check_in(frozen, now=None)
    assert not verified.stale
    max_age = device.belief.policy.max_age_s
    powered = 7 * DAY
    assert not is_stale(verified.timestamp, now=verified.timestamp + powered, max_age_s=max_age)
    assert is_stale(verified.timestamp, now=verified.timestamp + powered + 1, max_age_s=max_age)


@pytest.mark.parametrize("clock", [0, -1, 1_799_999_999])
def test_a_clock_that_was_set_back_is_no_clock(
    board: PaperBoard, device: Device, clock: int
) -> None:
    """A bad clock neither refuses what is good nor calls it stale."""
    board.time += 30 * DAY
    board.seal()
    verified = device.check_in(board.bundle(), now=clock)
    assert not verified.stale
    assert device.belief.timestamp == board.time


def test_cosignatures_from_the_future_do_not_count(board: PaperBoard, device: Device) -> None:
    """Otherwise a quorum that was bribed once could be fresh for ever."""
    board.seal()
    now = board.time
    future = board.bundle(timestamp=now + 50 * 366 * DAY)
    device.refuses(future, "no-quorum", now=now)
    device.refuses(board.bundle(timestamp=now + 601), "no-quorum", now=now)
    with without(Defence.CLOCK):
        assert device.check_in(future, now=now).timestamp == now + 50 * 366 * DAY


def test_ten_minutes_ahead_is_an_honest_clock(board: PaperBoard, device: Device) -> None:
    board.seal()
    assert device.check_in(board.bundle(timestamp=board.time + 600)).timestamp == board.time + 600


def test_a_minority_with_late_timestamps_does_not_make_a_state_fresh(
    board: PaperBoard, device: Device
) -> None:
    board.seal()
    old, now = board.time, board.time + 30 * DAY
    mixed = board.cosignatures(timestamp=now, operators=2) + board.cosignatures(
        timestamp=old, witnesses=0
    )
    verified = device.check_in(board.bundle_with(mixed), now=now)
    assert (verified.timestamp, verified.stale) == (old, True)
