# SPDX-License-Identifier: Apache-2.0
"""A class is its maker's promise: what it grants may grow, and never shrink."""

from dataclasses import replace
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.keys import Algorithm
from fieldpost.posts import subjects
from fieldpost.records import map_keys
from fieldpost.records.board import Limits
from fieldpost.records.counters import ClassCounters, Link
from fieldpost.records.device_class import ClassRecord, DeviceLimits
from fieldpost.records.fields import Reading
from fieldpost.records.head import decode_head
from fieldpost.records.maker import Role
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.world import BoardWorld


def registered(**arguments: Any) -> BoardWorld:
    world = BoardWorld(**arguments)
    world.accept(world.maker.registration())
    return world


def test_a_new_class_has_an_empty_head_for_every_channel() -> None:
    world = registered()
    world.accept(world.maker.class_set(channels=("stable", "beta")))
    class_id = world.maker.class_id("tracker")
    link = Link.decode(world.values[map_keys.link(map_keys.maker(world.maker.id))])
    for channel in ("stable", "beta"):
        head = decode_head(world.values[map_keys.head(class_id, channel)], Reading.LEDGER)
        assert (head.change_count, head.offers, head.interval_s) == (0, (), 86_400)
        assert (head.maker_epoch, head.maker_link) == (link.epoch, link.digest)


@pytest.mark.parametrize(("bounds", "interval"), [((60, 600), 600), ((200_000, 300_000), 200_000)])
def test_an_empty_head_keeps_the_interval_within_the_classs_bounds(
    bounds: tuple[int, int], interval: int
) -> None:
    world = registered()
    least, most = bounds
    world.accept(world.maker.class_set(least_interval_s=least, most_interval_s=most))
    key = map_keys.head(world.maker.class_id("tracker"), "stable")
    assert decode_head(world.values[key], Reading.LEDGER).interval_s == interval


def test_a_new_class_is_listed_and_counts_from_zero() -> None:
    world = registered()
    world.accept(world.maker.class_set("b"), world.maker.class_set("a"))
    ids = sorted(world.maker.class_id(name) for name in "ab")
    assert world.value(map_keys.maker_classes(world.maker.id)) == cbor.encode(ids)
    assert world.value(map_keys.class_counters(ids[0])) == ClassCounters().encode()


def test_root_needs_its_threshold() -> None:
    world = registered()
    roots = world.maker.keys[Role.ROOT]
    assert world.refusal(world.maker.class_set(signers=roots[:1])) == "threshold"
    world.accept(world.maker.class_set(signers=roots))


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ROOT])
def test_no_other_role_makes_classes(role: Role) -> None:
    world = registered()
    signers = (*world.maker.quorum(Role.ROOT), *world.maker.keys[role])
    assert world.refusal(world.maker.class_set(signers=signers)) == "unknown-key"


def test_an_unregistered_maker_has_no_classes() -> None:
    world = BoardWorld()
    assert world.refusal(world.maker.class_set()) == "unknown-maker"


def test_a_class_is_set_in_its_makers_name() -> None:
    world = registered()
    maker = world.maker
    record = ClassRecord(epoch=0, previous=None, maker=maker.id, name="x", support_end=1)
    payload, signers = record.encode(), maker.quorum(Role.ROOT)
    post = maker.post("class.set", subjects.of_class(record.id), payload, signers, issuer="x")
    assert world.refusal(post) == "wrong-issuer"
    post = maker.post("class.set", subjects.of_class(bytes(16)), payload, signers)
    assert world.refusal(post) == "wrong-subject"


def test_nobody_sets_a_class_of_another_maker() -> None:
    world = registered()
    other = MakerActor(world, "other")
    world.accept(other.registration())
    stolen = world.maker.class_set(signers=other.quorum(Role.ROOT))
    assert world.refusal(stolen) == "unknown-key"


def test_a_class_begins_once_and_with_epoch_zero() -> None:
    world = registered()
    assert world.refusal(world.maker.class_set(epoch=1, previous=bytes(32))) == "epoch"
    world.accept(world.maker.class_set())
    assert world.refusal(world.maker.class_set(epoch=0, previous=None)) == "taken"


def test_a_change_follows_the_last_link() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    assert world.refusal(maker.class_set(epoch=2)) == "epoch"
    assert world.refusal(maker.class_set(previous=bytes(32))) == "previous-link"
    first = maker.class_set(family="trackers")
    world.accept(first)
    assert world.refusal(first) == "epoch"
    link = Link.decode(
        world.values[map_keys.link(map_keys.device_class(maker.class_id("tracker")))]
    )
    assert link.epoch == 1


def test_support_is_only_lengthened() -> None:
    world = BoardWorld.with_class()
    assert world.refusal(world.maker.class_set(support_end=1_999_999_999)) == "support-shortened"
    world.accept(world.maker.class_set(support_end=2_000_000_001))


def test_channels_are_only_added_and_their_heads_begin_empty() -> None:
    world = BoardWorld.with_releases(1)
    maker = world.maker
    world.accept(maker.rollout_set(maker.offer(1)))
    stable = map_keys.head(maker.class_id("tracker"), "stable")
    before = world.value(stable)
    assert world.refusal(maker.class_set(channels=("beta",))) == "channel-removed"
    world.accept(maker.class_set(channels=("beta", "stable")))
    assert world.value(stable) == before
    assert world.value(map_keys.head(maker.class_id("tracker"), "beta")) is not None


def test_enrolled_devices_stay_within_the_class() -> None:
    world = BoardWorld.with_releases(1)
    assert world.refusal(world.maker.class_set(most_devices=99)) == "too-many-devices"
    world.accept(world.maker.class_set(most_devices=100))


@pytest.mark.parametrize("role", [Role.ROOT, Role.RELEASE])
def test_devices_must_be_able_to_verify_root_and_release_thresholds(role: Role) -> None:
    """Two keys of three that the devices cannot verify leave a threshold of two out of reach."""
    world = BoardWorld()
    maker = MakerActor(world, "mixed", shape={Role.ROOT: (2, 3), Role.RELEASE: (2, 3)})
    others = MakerActor(world, "mixed", shape=maker_shape(role), algorithm=Algorithm.ESP256)
    maker.keys[role] = (maker.keys[role][0], *others.keys[role])
    world.accept(maker.registration())
    only = DeviceLimits(algorithms=(Algorithm.ED25519,))
    assert world.refusal(maker.class_set(limits=only)) == "class-algorithms"
    world.accept(maker.class_set())


def maker_shape(role: Role) -> dict[Role, tuple[int, int]]:
    return {role: (2, 2)}


def test_a_maker_without_release_keys_has_no_classes() -> None:
    world = BoardWorld()
    record = world.maker.record()
    roles = {role: keys for role, keys in record.roles.items() if role is not Role.RELEASE}
    signers = [s for role in Role if role is not Role.RELEASE for s in world.maker.keys[role]]
    world.accept(world.maker.registration(roles=roles, signers=signers))
    assert world.refusal(world.maker.class_set()) == "class-algorithms"


def test_a_board_limits_the_classes_of_a_maker() -> None:
    world = registered(limits=Limits(classes_per_maker=2))
    world.accept(world.maker.class_set("a"), world.maker.class_set("b"))
    assert world.refusal(world.maker.class_set("c")) == "too-many-classes"
    world.accept(world.maker.class_set("b", family="letters"))


def test_a_successor_is_a_class_that_exists() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    assert world.refusal(maker.class_set(successor=maker.class_id("next"))) == "unknown-class"
    world.accept(maker.class_set("next"))
    world.accept(maker.class_set(successor=maker.class_id("next")))


def test_a_second_name_for_the_same_id_does_not_get_the_class() -> None:
    """The id is a shortened hash; here a collision is planted rather than found."""
    world = BoardWorld.with_class()
    key = map_keys.device_class(world.maker.class_id("tracker"))
    post = world.maker.class_set()
    planted = ClassRecord(
        epoch=0, previous=None, maker=bytes(16), name="tracker", support_end=2_000_000_000
    )
    world.state = replace(world.state, map=world.state.map.update({key: planted.encode()}))
    assert world.refusal(post) == "taken"
