# SPDX-License-Identifier: Apache-2.0
"""Posts played again: on another board, shard or maker, a second time, and floods of nonces.

Each ends with what the board holds; in the control the one comparison is left out.
"""

from dataclasses import replace

import pytest

from fieldpost.posts.envelope import decode_post
from fieldpost.records import map_keys
from fieldpost.records.head import Head, decode_head
from fieldpost.records.maker import Role
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.maker_posts import maker_set, record_of
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld


def head_of(world: BoardWorld) -> Head:
    value = world.value(map_keys.head(world.maker.class_id("tracker"), "stable"))
    assert value is not None
    return decode_head(value)


@pytest.mark.parametrize("origin", ["other.test/1", "board.test/2"], ids=["board", "shard"])
def test_a_post_of_another_board_is_not_taken(origin: str) -> None:
    """One maker, the same keys on a staging board or another shard, and the same nonce."""
    staging, world = BoardWorld.with_releases(11, origin=origin), BoardWorld.with_releases(11)
    post = staging.maker.rollout_set(staging.maker.offer(11))
    staging.accept(post)
    assert world.refusal(post) == "wrong-board"
    assert head_of(world).offers == ()
    with without(Defence.AUDIENCE):
        world.accept(post)
    assert [offer.sequence for offer in head_of(world).offers] == [11]


def test_a_post_of_another_maker_changes_nothing_of_mine() -> None:
    world = BoardWorld.with_releases(11)
    acme, other = world.maker, MakerActor(world, "other")
    world.accept(other.registration())
    world.accept(other.class_set())
    genuine = decode_post(acme.rollout_set(acme.offer(11)))
    statement = genuine.statement
    mine = other.post(
        statement.kind, statement.subject, statement.payload, other.quorum(Role.ROLLOUT)
    )
    assert world.refusal(mine) == "wrong-issuer"
    named = other.post(
        statement.kind,
        statement.subject,
        statement.payload,
        other.quorum(Role.ROLLOUT),
        issuer=acme.id.hex(),
    )
    assert world.refusal(named) == "unknown-key"
    assert head_of(world).offers == ()
    with without(Defence.ROLE_KEYS):
        world.accept(named)
    assert [offer.sequence for offer in head_of(world).offers] == [11]


def test_a_signature_moved_to_another_makers_post_is_refused() -> None:
    world = BoardWorld.with_releases(11)
    acme, other = world.maker, MakerActor(world, "other")
    post = decode_post(acme.rollout_set(acme.offer(11)))
    moved = replace(post, statement=replace(post.statement, issuer=other.id.hex()))
    assert world.refusal(moved.encode()) == "wrong-issuer"


def test_a_rollout_that_was_taken_back_does_not_come_back() -> None:
    """Anybody may read posts; posting them again must not undo what came after."""
    world = BoardWorld.with_releases(10, 11)
    maker = world.maker
    old = maker.rollout_set(maker.offer(11))
    world.accept(old)
    world.accept(maker.rollout_set(maker.offer(10)))
    assert world.refusal(old) == "nonce"
    assert [offer.sequence for offer in head_of(world).offers] == [10]
    with without(Defence.NONCE):
        world.accept(old)
    assert [offer.sequence for offer in head_of(world).offers] == [11]


def test_an_older_link_does_not_bring_revoked_keys_back() -> None:
    world = BoardWorld.with_releases(11)
    maker = world.maker
    stolen = maker.keys[Role.RELEASE][0]
    first = maker_set(maker, contact="with the old release key")
    world.accept(first)
    fresh = DeterministicSigner(stolen.public_key.algorithm, "acme/release/new")
    world.accept(maker_set(maker, keys={Role.RELEASE: (1, [fresh])}))
    # The link is refused even before its place in the chain is asked: what it would add again has
    # not proven possession now, and a key that was taken once is never free again.
    assert world.refusal(first) == "possession"
    kid = stolen.public_key.thumbprint()
    assert kid not in record_of(maker).keys_of(Role.RELEASE).by_kid()


def test_an_older_link_with_the_same_keys_does_not_undo_a_policy() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    first = maker_set(maker, contact="old@acme.example")
    world.accept(first)
    world.accept(maker_set(maker, contact="new@acme.example"))
    assert world.refusal(first) == "epoch"
    assert record_of(maker).contact == "new@acme.example"
    with without(Defence.CHAIN_PLACE):
        world.accept(first)
    assert record_of(maker).contact == "old@acme.example"


def test_a_stolen_rollout_key_cannot_delay_a_rotation_by_flooding_nonces() -> None:
    """The ceremony was signed days ago, offline; links carry no nonce that a thief could use up."""
    world = BoardWorld.with_releases(11)
    maker = world.maker
    roots = [
        DeterministicSigner(key.public_key.algorithm, f"root/{n}")
        for n, key in enumerate(maker.keys[Role.ROOT])
    ]
    rollout = DeterministicSigner(roots[0].public_key.algorithm, "rollout/new")
    ceremony = maker_set(maker, keys={Role.ROOT: (2, roots), Role.ROLLOUT: (1, [rollout])})
    # The control: what does carry a nonce is overtaken by the flood.
    honest_halt = maker.rollout_set()
    world.applied += 1
    for _ in range(50):
        world.accept(maker.rollout_set(maker.offer(11)))
    assert world.refusal(honest_halt) == "nonce"
    world.accept(ceremony)
    assert world.refusal(maker.rollout_set(maker.offer(11))) == "unknown-key"
    assert record_of(maker).keys_of(Role.ROLLOUT).by_kid().keys() == {
        rollout.public_key.thumbprint()
    }


def test_a_ceremony_in_the_middle_of_the_thiefs_batch_ends_the_thief() -> None:
    """Order within a batch is order: what follows the link is judged by the new keys."""
    world = BoardWorld.with_releases(11)
    maker = world.maker
    rollout = DeterministicSigner(maker.keys[Role.ROOT][0].public_key.algorithm, "rollout/new")
    ceremony = maker_set(maker, keys={Role.ROLLOUT: (1, [rollout])})
    flood = [maker.rollout_set(maker.offer(11)) for _ in range(4)]
    outcomes = world.apply([*flood[:2], ceremony, *flood[2:]]).outcomes
    assert [getattr(outcome, "name", "included") for outcome in outcomes] == [
        "included",
        "included",
        "included",
        "unknown-key",
        "unknown-key",
    ]
