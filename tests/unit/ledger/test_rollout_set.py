# SPDX-License-Identifier: Apache-2.0
"""A rollout hands out what was published, to cohorts that only grow, and never at a grind."""

from dataclasses import replace

import pytest

from fieldpost.posts import subjects
from fieldpost.posts.envelope import decode_post
from fieldpost.records import map_keys
from fieldpost.records.counters import ClassCounters, Link, ReleaseCounters
from fieldpost.records.fields import Reading
from fieldpost.records.head import Conditions, Head, cohort_salt, decode_head
from fieldpost.records.limits import MAX_HEAD_BYTES
from fieldpost.records.maker import Role
from fieldpost.testing.world import BoardWorld

HALF = 2**31


def head_of(world: BoardWorld, channel: str = "stable") -> Head:
    key = map_keys.head(world.maker.class_id("tracker"), channel)
    return decode_head(world.values[key], Reading.LEDGER)


def counters_of(world: BoardWorld, sequence: int) -> ReleaseCounters:
    key = map_keys.release_counters(world.maker.class_id("tracker"), sequence)
    return ReleaseCounters.decode(world.values[key])


def plant(world: BoardWorld, key: bytes, value: bytes) -> None:
    """What posts of later kinds will write."""
    world.state = replace(world.state, map=world.state.map.update({key: value}))


def test_a_rollout_becomes_the_head_of_its_channel() -> None:
    world = BoardWorld.with_releases(10, 11)
    maker = world.maker
    conditions = Conditions(urgency=2, external_power=True, window=(79_200, 18_000))
    offers = (maker.offer(11, HALF, conditions=conditions), maker.offer(10, from_range=(1, 9)))
    world.accept(maker.rollout_set(*offers, interval_s=600))
    head = head_of(world)
    link = Link.decode(world.values[map_keys.link(map_keys.maker(maker.id))])
    assert [replace(offer, salt=None) for offer in head.offers] == list(offers)
    assert (head.change_count, head.interval_s) == (1, 600)
    assert (head.maker_epoch, head.maker_link) == (link.epoch, link.digest)


def test_every_rollout_raises_the_change_count_by_one() -> None:
    world = BoardWorld.with_releases(1)
    maker = world.maker
    world.accept(maker.rollout_set(), maker.rollout_set(maker.offer(1)))
    world.accept(maker.rollout_set(maker.offer(1)))
    assert head_of(world).change_count == 3


def test_the_salt_follows_from_the_state_before_the_batch_of_the_first_offer() -> None:
    world = BoardWorld.with_releases(1)
    before = world.state.last.map_root
    world.accept(world.maker.rollout_set(world.maker.offer(1, 0)))
    expected = cohort_salt(
        previous_map_root=before, class_id=world.maker.class_id("tracker"), sequence=1
    )
    assert head_of(world).offers[0].salt == expected


def test_the_salt_of_a_release_never_changes() -> None:
    world = BoardWorld.with_class()
    world.accept(world.maker.class_set(channels=("stable", "beta")))
    world.accept(world.maker.release_publish(1))
    maker = world.maker
    world.accept(maker.rollout_set(maker.offer(1, 1)))
    salt = head_of(world).offers[0].salt
    world.accept(maker.rollout_set())
    world.accept(maker.rollout_set(maker.offer(1, 2)))
    world.accept(maker.rollout_set(maker.offer(1, 1), channel="beta"))
    assert head_of(world).offers[0].salt == head_of(world, "beta").offers[0].salt == salt


def test_a_cohort_grows_or_halts_and_resumes_where_it_was() -> None:
    world = BoardWorld.with_releases(1)
    maker = world.maker
    for threshold in (HALF, 0, HALF, 0, HALF + 1, 2**32):
        world.accept(maker.rollout_set(maker.offer(1, threshold)))
        assert head_of(world).offers[0].threshold == threshold
    assert counters_of(world, 1).highest == {"stable": 2**32}


@pytest.mark.parametrize("between", [HALF, 0])
def test_a_cohort_never_shrinks_also_not_over_a_halt(between: int) -> None:
    world = BoardWorld.with_releases(1)
    maker = world.maker
    world.accept(maker.rollout_set(maker.offer(1, HALF)))
    world.accept(maker.rollout_set(maker.offer(1, between)))
    assert world.refusal(maker.rollout_set(maker.offer(1, HALF - 1))) == "cohort-shrinks"


def test_a_cohort_never_shrinks_by_being_taken_back_and_offered_again() -> None:
    world = BoardWorld.with_releases(1)
    maker = world.maker
    world.accept(maker.rollout_set(maker.offer(1, HALF)), maker.rollout_set())
    assert world.refusal(maker.rollout_set(maker.offer(1, HALF - 1))) == "cohort-shrinks"


def test_each_channel_has_its_own_cohorts() -> None:
    world = BoardWorld.with_releases(1)
    maker = world.maker
    world.accept(maker.class_set(channels=("stable", "beta")))
    world.accept(maker.rollout_set(maker.offer(1, 2**32), channel="beta"))
    world.accept(maker.rollout_set(maker.offer(1, 1)))
    assert counters_of(world, 1).highest == {"beta": 2**32, "stable": 1}


def test_only_published_releases_are_offered() -> None:
    world = BoardWorld.with_releases(1)
    assert world.refusal(world.maker.rollout_set(world.maker.offer(2))) == "unknown-release"


def test_an_offer_names_the_manifest_that_was_published() -> None:
    world = BoardWorld.with_releases(1)
    offer = world.maker.offer(1, manifest=bytes(32))
    assert world.refusal(world.maker.rollout_set(offer)) == "wrong-manifest"


def test_a_withdrawn_release_is_offered_no_more() -> None:
    world = BoardWorld.with_releases(1)
    key = map_keys.release_counters(world.maker.class_id("tracker"), 1)
    plant(world, key, ReleaseCounters(withdrawn="bricks devices").encode())
    assert world.refusal(world.maker.rollout_set(world.maker.offer(1))) == "withdrawn"


def test_nothing_below_the_floor_is_offered_but_a_step_towards_it() -> None:
    world = BoardWorld.with_releases(1, 2, 3)
    maker = world.maker
    floor = ClassCounters(newest=3, floor=3, devices=100)
    plant(world, map_keys.class_counters(maker.class_id("tracker")), floor.encode())
    assert world.refusal(maker.rollout_set(maker.offer(2))) == "below-floor"
    too_far = maker.offer(2, from_range=(0, 3))
    assert world.refusal(maker.rollout_set(too_far)) == "below-floor"
    world.accept(maker.rollout_set(maker.offer(3), maker.offer(2, from_range=(0, 2))))


def test_offers_name_lots_of_the_class() -> None:
    world = BoardWorld.with_releases(1)
    maker = world.maker
    world.accept(maker.class_set("other"))
    world.accept(maker.lot_enrol(name="other"))
    for lot in (bytes(16), maker.lot_id(name="other")):
        assert world.refusal(maker.rollout_set(maker.offer(1, lots=(lot,)))) == "unknown-lot"
    world.accept(maker.rollout_set(maker.offer(1, lots=(maker.lot_id(),))))


def test_a_rollout_names_a_channel_of_the_class() -> None:
    world = BoardWorld.with_releases(1)
    assert world.refusal(world.maker.rollout_set(channel="nightly")) == "unknown-channel"


@pytest.mark.parametrize("interval_s", [59, 7 * 86_400 + 1])
def test_an_interval_stays_within_the_bounds_of_the_class(interval_s: int) -> None:
    world = BoardWorld.with_class()
    assert world.refusal(world.maker.rollout_set(interval_s=interval_s)) == "interval"


def test_a_head_stays_small_enough_for_small_devices() -> None:
    world = BoardWorld.with_releases(1, 2, 3, 4)
    maker = world.maker
    roots = [bytes((n,)) * 32 for n in range(4)]
    world.accept(*(maker.lot_enrol(root=root) for root in roots))
    lots = tuple(maker.lot_id(root=root) for root in roots)
    offers = [maker.offer(sequence, lots=lots, from_range=(0, 2**62)) for sequence in (4, 3, 2, 1)]
    assert world.refusal(maker.rollout_set(*offers)) == "head-size"
    world.accept(maker.rollout_set(*offers[:2]))
    key = map_keys.head(maker.class_id("tracker"), "stable")
    assert len(world.values[key]) <= MAX_HEAD_BYTES


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ROLLOUT])
def test_no_other_role_rolls_out(role: Role) -> None:
    world = BoardWorld.with_class()
    post = world.maker.rollout_set(signers=world.maker.keys[role][:1])
    assert world.refusal(post) == "unknown-key"


def test_a_rollout_is_of_a_class_that_exists() -> None:
    world = BoardWorld.with_class()
    assert world.refusal(world.maker.rollout_set(name="nothing")) == "unknown-class"


def test_a_rollout_is_in_its_makers_name_and_about_its_channel() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    payload = decode_post(maker.rollout_set()).statement.payload
    signers = maker.quorum(Role.ROLLOUT)
    right = subjects.of_channel(maker.class_id("tracker"), "stable")
    wrong = subjects.of_channel(maker.class_id("tracker"), "beta")
    post = maker.post("rollout.set", right, payload, signers, issuer="operator0")
    assert world.refusal(post) == "wrong-issuer"
    assert world.refusal(maker.post("rollout.set", wrong, payload, signers)) == "wrong-subject"
