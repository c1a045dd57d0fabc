# SPDX-License-Identifier: Apache-2.0
"""Nobody posts what no entitled key signed, nothing twice, and nothing beyond a key's scope."""

from dataclasses import replace
from typing import Any

import pytest

from fieldpost.keys import Algorithm
from fieldpost.posts.envelope import Post, PostSignature, decode_post, sign_post
from fieldpost.records.maker import KeySet, Role, RoleKey, Scope
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld

RELEASE_TWO_OF_THREE = {Role.RELEASE: (2, 3)}


def world_with_class(maker_shape: dict[Role, tuple[int, int]]) -> BoardWorld:
    world = BoardWorld()
    world.maker = MakerActor(world, shape=maker_shape)
    world.accept(world.maker.registration())
    world.accept(world.maker.class_set())
    return world


def scoped_world(role: Role, scope: Scope) -> BoardWorld:
    """A world in which the one key of `role` has that scope, and classes `tracker`, `other`."""
    world = BoardWorld()
    record = world.maker.record()
    scoped = KeySet(1, tuple(RoleKey(s.public_key, scope) for s in world.maker.keys[role]))
    world.accept(world.maker.registration(roles={**record.roles, role: scoped}))
    world.accept(world.maker.class_set(channels=("stable", "beta")), world.maker.class_set("other"))
    return world


def with_signature(entry: bytes, **changes: Any) -> bytes:
    post = decode_post(entry)
    (only,) = post.signatures
    return Post(post.statement, (replace(only, **changes),)).encode()


def test_a_changed_signature_is_refused() -> None:
    world = BoardWorld.with_class()
    entry = world.maker.release_publish(1)
    (signature,) = decode_post(entry).signatures
    flipped = bytes((signature.signature[0] ^ 1,)) + signature.signature[1:]
    assert world.refusal(with_signature(entry, signature=flipped)) == "bad-signature"


def test_a_changed_statement_is_refused() -> None:
    world = BoardWorld.with_class()
    post = decode_post(world.maker.release_publish(1))
    other = decode_post(world.maker.release_publish(1, nonce=1, version="2"))
    forged = Post(other.statement, post.signatures)
    assert world.refusal(forged.encode()) == "bad-signature"


def test_an_algorithm_that_is_not_the_keys_is_refused() -> None:
    world = BoardWorld.with_class()
    entry = world.maker.release_publish(1)
    assert world.refusal(with_signature(entry, algorithm=Algorithm.ESP256)) == "bad-signature"


def test_one_bad_signature_among_enough_good_ones_refuses_the_post() -> None:
    world = world_with_class(RELEASE_TWO_OF_THREE)
    post = decode_post(world.maker.release_publish(1, signers=world.maker.keys[Role.RELEASE]))
    first, *others = post.signatures
    spoilt = PostSignature(first.kid, first.algorithm, bytes(64))
    assert world.refusal(Post(post.statement, (spoilt, *others)).encode()) == "bad-signature"


def test_a_signature_by_a_stranger_beside_enough_good_ones_refuses_the_post() -> None:
    world = world_with_class(RELEASE_TWO_OF_THREE)
    stranger = DeterministicSigner(Algorithm.ED25519, "stranger")
    signers = (*world.maker.quorum(Role.RELEASE), stranger)
    assert world.refusal(world.maker.release_publish(1, signers=signers)) == "unknown-key"


def test_too_few_keys_of_a_role_are_refused_and_more_than_enough_are_not() -> None:
    world = world_with_class(RELEASE_TWO_OF_THREE)
    keys = world.maker.keys[Role.RELEASE]
    assert world.refusal(world.maker.release_publish(1, signers=keys[:1])) == "threshold"
    world.accept(world.maker.release_publish(1, signers=keys[1:]))
    world.accept(world.maker.release_publish(2, signers=keys))


def test_where_one_key_acts_alone_two_are_refused() -> None:
    world = world_with_class({Role.ROLLOUT: (1, 2)})
    post = world.maker.rollout_set(signers=world.maker.keys[Role.ROLLOUT])
    assert world.refusal(post) == "threshold"


@pytest.mark.parametrize("nonce", [2, 2**62])
def test_a_nonce_is_the_next_one_and_no_other(nonce: int) -> None:
    world = BoardWorld.with_class()
    assert world.refusal(world.maker.release_publish(1, nonce=nonce)) == "nonce"


def test_a_post_is_included_once() -> None:
    world = BoardWorld.with_class()
    post = world.maker.rollout_set()
    world.accept(post)
    assert world.refusal(post) == "nonce"


def test_keys_that_act_alone_count_their_own_posts() -> None:
    world = world_with_class({Role.ROLLOUT: (1, 2)})
    first, second = world.maker.keys[Role.ROLLOUT]
    world.accept(world.maker.rollout_set(signers=[first], nonce=1))
    world.accept(world.maker.rollout_set(signers=[second], nonce=1))
    world.accept(world.maker.rollout_set(signers=[first], nonce=2))
    assert world.refusal(world.maker.rollout_set(signers=[second], nonce=3)) == "nonce"


def test_keys_that_act_together_count_the_posts_of_their_role() -> None:
    world = world_with_class(RELEASE_TWO_OF_THREE)
    one, two, three = world.maker.keys[Role.RELEASE]
    world.accept(world.maker.release_publish(1, signers=[one, two], nonce=1))
    assert world.refusal(world.maker.release_publish(2, signers=[two, three], nonce=1)) == "nonce"
    world.accept(world.maker.release_publish(2, signers=[two, three], nonce=2))


def test_a_key_is_for_its_classes() -> None:
    tracker = BoardWorld().maker.class_id("tracker")
    world = scoped_world(Role.RELEASE, Scope(classes=(tracker,)))
    assert world.refusal(world.maker.release_publish(1, name="other")) == "scope"
    world.accept(world.maker.release_publish(1))


def test_a_key_is_for_its_channels() -> None:
    world = scoped_world(Role.ROLLOUT, Scope(channels=("beta",)))
    assert world.refusal(world.maker.rollout_set()) == "scope"
    world.accept(world.maker.rollout_set(channel="beta"))


def test_a_release_is_for_no_channel_so_a_scope_of_channels_does_not_hinder_it() -> None:
    world = scoped_world(Role.RELEASE, Scope(channels=("beta",)))
    world.accept(world.maker.release_publish(1))


def test_a_key_ends_after_its_time() -> None:
    end = BoardWorld().time + 10_000
    world = scoped_world(Role.RELEASE, Scope(not_after=end))
    assert world.refusal(world.maker.release_publish(1), time=end + 1) == "scope"
    world.accept(world.maker.release_publish(1), time=end)


def test_a_key_enrols_so_many_devices_in_all_not_in_each_lot() -> None:
    world = scoped_world(Role.ENROL, Scope(devices=100))
    assert world.refusal(world.maker.lot_enrol(count=101)) == "scope"
    world.accept(world.maker.lot_enrol(count=60))
    assert world.refusal(world.maker.lot_enrol(count=41, name="other")) == "scope"
    world.accept(world.maker.lot_enrol(count=40, name="other"))


def test_a_kind_without_a_rule_is_refused() -> None:
    world = BoardWorld.with_class()
    post = world.maker.post("class.transfer", "x", b"\xa0", world.maker.quorum(Role.ROOT))
    assert world.refusal(post) == "unknown-kind"


def test_a_post_for_another_board_is_refused_whatever_it_says() -> None:
    """Also one of the same origin: the board id holds the digest of genesis."""
    here = BoardWorld.with_class()
    there = BoardWorld.with_class(operators=4)
    assert here.board != there.board
    assert here.refusal(there.maker.release_publish(1)) == "wrong-board"
    assert here.refusal(there.maker.registration()) == "wrong-board"


def test_a_payload_in_a_second_form_is_malformed() -> None:
    """`true` where 1 belongs equals it in Python; the map must hold one form only."""
    world = BoardWorld.with_class()
    statement = decode_post(world.maker.class_set()).statement
    assert statement.payload.count(b"\x08\x82\x18\x3c") == 1
    payload = statement.payload.replace(b"\x08\x82\x18\x3c", b"\x08\x82\xf5")
    post = sign_post(replace(statement, payload=payload), world.maker.quorum(Role.ROOT)).encode()
    assert world.refusal(post) == "malformed"
