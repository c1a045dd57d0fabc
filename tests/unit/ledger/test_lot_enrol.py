# SPDX-License-Identifier: Apache-2.0
"""A lot is a closed set of devices, enrolled once, within what class and key allow."""

import pytest

from fieldpost.posts import subjects
from fieldpost.posts.envelope import decode_post
from fieldpost.records import map_keys
from fieldpost.records.counters import ClassCounters
from fieldpost.records.maker import Role
from fieldpost.testing.world import BoardWorld


def test_an_enrolled_lot_is_in_the_map_and_its_devices_are_counted() -> None:
    world = BoardWorld.with_class()
    entry = world.maker.lot_enrol(count=30)
    world.accept(entry, world.maker.lot_enrol(count=12))
    statement = decode_post(entry).statement
    assert world.value(map_keys.lot(bytes.fromhex(statement.subject))) == statement.payload
    key = map_keys.class_counters(world.maker.class_id("tracker"))
    assert ClassCounters.decode(world.values[key]).devices == 42


def test_a_lot_is_enrolled_once() -> None:
    world = BoardWorld.with_class()
    world.accept(world.maker.lot_enrol())
    assert world.refusal(world.maker.lot_enrol()) == "taken"


def test_the_id_of_a_lot_follows_from_its_content() -> None:
    world = BoardWorld.with_class()
    assert world.refusal(world.maker.lot_enrol(id=bytes(16))) == "wrong-lot-id"


def test_a_class_has_at_most_the_devices_it_declared() -> None:
    world = BoardWorld.with_class()
    world.accept(world.maker.class_set(most_devices=100))
    world.accept(world.maker.lot_enrol(count=60))
    assert world.refusal(world.maker.lot_enrol(count=41)) == "too-many-devices"
    world.accept(world.maker.lot_enrol(count=40, nonce=2))


def test_a_lot_is_of_a_class_that_exists() -> None:
    world = BoardWorld.with_class()
    assert world.refusal(world.maker.lot_enrol(name="nothing")) == "unknown-class"


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ENROL])
def test_no_other_role_enrols(role: Role) -> None:
    world = BoardWorld.with_class()
    post = world.maker.lot_enrol(signers=world.maker.keys[role][:1])
    assert world.refusal(post) == "unknown-key"


def test_a_lot_is_enrolled_in_its_makers_name() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    statement = decode_post(maker.lot_enrol()).statement
    signers = maker.quorum(Role.ENROL)
    post = maker.post("lot.enrol", statement.subject, statement.payload, signers, issuer="x")
    assert world.refusal(post) == "wrong-issuer"
    post = maker.post("lot.enrol", subjects.of_lot(bytes(16)), statement.payload, signers)
    assert world.refusal(post) == "wrong-subject"
