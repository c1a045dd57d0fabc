# SPDX-License-Identifier: Apache-2.0
"""What holds for every batch, whatever is in it, in whatever order, however it was cut."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.keys import PublicKey
from fieldpost.ledger.batch import Batch, Included, Refused, apply_batch
from fieldpost.ledger.codes import Code
from fieldpost.ledger.preverify import signature_checks
from fieldpost.ledger.replay import replay
from fieldpost.posts.envelope import decode_post, sign_post
from fieldpost.posts.fleet import Outcomes
from fieldpost.records import map_keys
from fieldpost.records.counters import ReleaseCounters, decode_attestation
from fieldpost.records.fields import Reading
from fieldpost.records.head import cohort_draw, decode_head
from fieldpost.records.maker import Role
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.maker_posts import (
    advisory_publish,
    chain_registration,
    device_status,
    fleet_summary,
    maker_set,
    release_floor,
    release_sign,
    release_withdraw,
)
from fieldpost.testing.operator_posts import blob_gone, board_set, maker_attest
from fieldpost.testing.world import START, BoardWorld

THRESHOLDS = st.sampled_from([0, 1, 2**30, 2**31, 2**32 - 1, 2**32])


@cache
def stage() -> BoardWorld:
    """Two makers with a class each, releases and a lot. No law moves it on."""
    world = BoardWorld.with_releases(1, 2, 3)
    other = MakerActor(world, "other")
    world.accept(other.registration())
    world.accept(other.class_set(), world.maker.class_set(channels=("stable", "beta")))
    return world


@cache
def story() -> tuple[bytes, ...]:
    """Valid posts of every kind, each in its issuer's order, issuers alternating."""
    world = stage()
    ours = world.maker
    theirs = MakerActor(world, "other")
    third = MakerActor(world, "third")
    guest = MakerActor(world, "guest")
    home = MakerActor(BoardWorld(origin="home.test/1"), "guest")
    return (
        maker_attest(world, theirs, "other.example"),
        chain_registration(guest, [home.registration()], home.record()),
        ours.release_publish(4),
        theirs.lot_enrol(count=7),
        ours.lot_enrol(root=b"\x22" * 32),
        theirs.release_publish(1),
        ours.rollout_set(ours.offer(3, 2**30), ours.offer(2)),
        release_floor(ours, 2),
        third.registration(),
        board_set(world, epoch_s=30),
        maker_set(ours, contact="security@acme.example"),
        release_sign(ours, 2, ours.keys[Role.RELEASE]),
        blob_gone(world, nonce=2),
        ours.class_set(channels=("stable", "beta", "nightly")),
        third.class_set(),
        ours.rollout_set(ours.offer(3, 2**31), channel="beta"),
        theirs.lot_enrol(root=b"\x33" * 32),
        ours.rollout_set(ours.offer(3, 2**31), ours.offer(2)),
        device_status(ours, (3, 2), (4, 1)),
        third.release_publish(9),
        device_status(ours, (3, 0)),
        advisory_publish(ours, fixed_in=2),
        fleet_summary(ours, START - 60, START, outcomes={1: Outcomes(3, 2, 1)}),
        release_withdraw(ours, 1),
    )


def unchecked(key: PublicKey, message: bytes, signature: bytes) -> None:
    """Lets spoilt posts through to the rules behind the signatures."""


def play(batches: Sequence[Sequence[bytes]]) -> tuple[list[Batch], dict[bytes, bytes]]:
    """The batches after the stage, and all that they left in the map."""
    state, values, played = stage().state, dict(stage().values), []
    for posts in batches:
        batch = apply_batch(state, posts, time=state.last.time + 1)
        state, values = batch.state, values | batch.writes
        played.append(batch)
    return played, values


@cache
def told() -> tuple[Batch, dict[bytes, bytes]]:
    """The story in one batch: what it did, and the map after it."""
    (batch,), values = play([story()])
    assert all_accepted([batch])
    return batch, values


def all_accepted(batches: Sequence[Batch]) -> bool:
    return all(isinstance(outcome, Included) for batch in batches for outcome in batch.outcomes)


# --- bytes that anybody may send ---


@st.composite
def spoilt_entries(draw: st.DrawFn) -> bytes:
    entry = bytearray(draw(st.sampled_from(story())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(entry) - 1))
        match draw(st.sampled_from(["flip", "cut", "insert", "double"])):
            case "flip":
                entry[at] ^= draw(st.integers(1, 255))
            case "cut":
                del entry[at : at + draw(st.integers(1, 8))]
            case "insert":
                entry[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                entry[at:at] = entry[at : at + 16]
        if not entry:
            break
    return bytes(entry)


@given(st.one_of(spoilt_entries(), st.binary(max_size=200)), st.booleans())
def test_no_bytes_make_a_batch_raise_and_a_refusal_leaves_nothing(
    entry: bytes, are_signatures_checked: bool
) -> None:
    state = stage().state
    if are_signatures_checked:
        batch = apply_batch(state, [entry], time=0)
    else:
        batch = apply_batch(state, [entry], time=0, check_signature=unchecked)
    (outcome,) = batch.outcomes
    if isinstance(outcome, Refused):
        assert outcome.name in {code.label for code in Code if code == outcome.code}
        assert (batch.state, batch.entries, batch.writes) == (state, (), {})


# What a field of a payload could hold instead: right kinds with wrong values, and wrong kinds.
ODD_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from([0, 1, -1, 255, 2**16, 2**32, 2**63 - 1, -(2**63)]),
        st.sampled_from([bytes(n) for n in (0, 1, 16, 31, 32, 33, 64)]),
        st.sampled_from(["", "stable", "a:b:c:d", "\x00", "é", "x" * 300, "b/1#" + "0" * 32]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([-1, 0, 1, 2, 3, 4, 5, "k", b"k"]), inner, max_size=3),
    ),
    max_leaves=5,
)


@st.composite
def spoilt_payloads(draw: st.DrawFn) -> tuple[bytes, object]:
    """A post of the story, and its payload with one value somewhere replaced, dropped or added."""
    entry = draw(st.sampled_from(story()))
    payload = cbor.decode(decode_post(entry).statement.payload)
    return entry, draw(_spoilt(payload, depth=3))


@st.composite
def _spoilt(draw: st.DrawFn, value: cbor.Value, depth: int) -> object:
    if isinstance(value, dict) and value:
        label = draw(st.sampled_from(sorted(value, key=str)))
        if depth and draw(st.booleans()):
            return {**value, label: draw(_spoilt(value[label], depth=depth - 1))}
        rest = {key: item for key, item in value.items() if key != label}
        if draw(st.booleans()):
            return rest
        return {**rest, draw(st.sampled_from([label, 0, 99, -1])): draw(ODD_VALUES)}
    if isinstance(value, tuple) and value and depth and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(_spoilt(value[at], depth=depth - 1)), *value[at + 1 :]]
    return draw(ODD_VALUES)


@given(spoilt_payloads())
def test_no_payload_makes_a_rule_raise_and_what_is_accepted_is_in_its_one_form(
    spoilt: tuple[bytes, object],
) -> None:
    """Signatures are off, so nothing but the decoders and rules stands in the way."""
    entry, payload = spoilt
    post = decode_post(entry)
    changed = replace(post, statement=replace(post.statement, payload=cbor.encode(payload)))
    batch = apply_batch(stage().state, [changed.encode()], time=0, check_signature=unchecked)
    signature_checks(stage().state.map, changed)
    if isinstance(batch.outcomes[0], Included):
        assert replay(stage().state, batch.entries, unchecked).last == batch.state.last


# --- what a batch is ---


@given(st.lists(st.one_of(st.sampled_from(story()), spoilt_entries()), max_size=8))
def test_the_log_of_a_batch_is_what_was_accepted_and_replays_to_the_same_root(
    posts: list[bytes],
) -> None:
    before = stage().state
    batch = apply_batch(before, posts, time=before.last.time)
    accepted = [
        post
        for post, outcome in zip(posts, batch.outcomes, strict=True)
        if isinstance(outcome, Included)
    ]
    indices = [outcome.index for outcome in batch.outcomes if isinstance(outcome, Included)]
    assert list(batch.entries[:-1]) == accepted
    assert indices == list(range(before.size, before.size + len(accepted)))
    assert replay(before, batch.entries).last == batch.state.last
    # Without what was refused, the same batch.
    assert apply_batch(before, accepted, time=before.last.time).entries == batch.entries


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_time_never_runs_backwards(times: list[int]) -> None:
    state = stage().state
    for post, time in zip(story(), times, strict=False):
        batch = apply_batch(state, [post], time=time)
        assert batch.state.last.time == max(time, state.last.time)
        state = batch.state


# --- how posts are cut into batches, and ordered ---


@st.composite
def cuts(draw: st.DrawFn) -> list[tuple[bytes, ...]]:
    posts = story()
    marks = sorted(draw(st.sets(st.integers(1, len(posts) - 1))))
    edges = [0, *marks, len(posts)]
    return [posts[a:b] for a, b in pairwise(edges)]


def without_salts(values: dict[bytes, bytes]) -> dict[bytes, object]:
    """The map with the salts of heads and releases, and the time of an attestation, blanked.

    They are all that depends on the batches: each salt is drawn from the state before its batch.
    """
    maker = stage().maker
    blanked: dict[bytes, object] = dict(values)
    attested = map_keys.domain_of_maker(MakerActor(stage(), "other").id)
    attestation = decode_attestation(values[attested])
    assert attestation is not None
    blanked[attested] = replace(attestation, time=0)
    for sequence in range(1, 10):
        key = map_keys.release_counters(maker.class_id("tracker"), sequence)
        if key in values:
            blanked[key] = replace(ReleaseCounters.decode(values[key]), salt=None).encode()
    for channel in ("stable", "beta"):
        key = map_keys.head(maker.class_id("tracker"), channel)
        head = decode_head(values[key], Reading.LEDGER)
        blanked[key] = replace(head, offers=tuple(replace(o, salt=None) for o in head.offers))
    return blanked


@given(cuts())
def test_the_same_posts_in_other_batches_leave_the_same_map_but_for_salts(
    batches: list[tuple[bytes, ...]],
) -> None:
    _, together = told()
    many, apart = play(batches)
    assert all_accepted(many)
    assert without_salts(together) == without_salts(apart)
    if len(batches) == 1:
        assert together == apart


@given(st.data())
def test_makers_do_not_disturb_each_other(data: st.DataObject) -> None:
    """Every interleaving that keeps each maker's own order leaves the same map in one batch."""
    lanes: dict[str, list[bytes]] = {}
    for post in story():
        lanes.setdefault(decode_post(post).statement.issuer, []).append(post)
    mixed: list[bytes] = []
    while any(lanes.values()):
        issuer = data.draw(st.sampled_from([name for name, lane in lanes.items() if lane]))
        mixed.append(lanes[issuer].pop(0))
    in_order, expected = told()
    shuffled, values = play([mixed])
    assert all_accepted(shuffled)
    assert values == expected
    assert shuffled[0].state.map.root == in_order.state.map.root


@given(st.permutations(range(5)))
def test_posts_of_different_roles_commute(order: list[int]) -> None:
    maker = MakerActor(stage())
    posts = [
        maker.release_publish(4),
        maker.lot_enrol(root=b"\x44" * 32),
        maker.rollout_set(maker.offer(3)),
        maker.class_set("second"),
        MakerActor(stage(), "third").registration(),
    ]
    _, expected = play([posts])
    batches, values = play([[posts[n] for n in order]])
    assert all_accepted(batches)
    assert values == expected


# --- cohorts ---


@given(st.lists(st.tuples(st.booleans(), THRESHOLDS), max_size=8))
def test_a_device_that_was_in_a_cohort_is_in_it_whenever_the_release_is_offered(
    steps: list[tuple[bool, int]],
) -> None:
    world = BoardWorld()
    world.state, world.values = stage().state, dict(stage().values)
    maker = MakerActor(world)
    devices = [sha256(bytes((n,))).digest() for n in range(64)]
    salts: set[bytes] = set()
    ever: set[bytes] = set()
    for is_offered, threshold in steps:
        offers = [maker.offer(3, threshold)] if is_offered else []
        (outcome,) = world.apply([maker.rollout_set(*offers)]).outcomes
        key = map_keys.head(maker.class_id("tracker"), "stable")
        head = decode_head(world.values[key], Reading.LEDGER)
        for offer in head.offers:
            assert offer.salt is not None
            salts.add(offer.salt)
            cohort = {d for d in devices if cohort_draw(offer.salt, d) < offer.threshold}
            assert cohort >= ever or offer.threshold == 0
            ever |= cohort
        if isinstance(outcome, Refused):
            assert outcome.name == Code.COHORT_SHRINKS.label
    assert len(salts) <= 1


# --- rules are functions ---


@given(st.sampled_from(story()), st.sampled_from(list(Role)))
def test_a_post_signed_by_keys_of_another_role_is_refused(entry: bytes, role: Role) -> None:
    """Registration apart, which is signed by every role."""
    world = stage()
    post = decode_post(entry)
    signers = world.maker.keys[role]
    stolen = sign_post(post.statement, signers)
    kids = {signature.kid for signature in post.signatures}
    if {signature.kid for signature in stolen.signatures} & kids:
        return
    name = world.refusal(stolen.encode())
    assert name in {"unknown-key", "possession", "unknown-maker", "unknown-class"}
