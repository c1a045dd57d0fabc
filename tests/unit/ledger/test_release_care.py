# SPDX-License-Identifier: Apache-2.0
"""Floors only rise to what everybody was offered, withdrawals are final, signatures are added."""

from dataclasses import replace

import pytest

from fieldpost import cbor
from fieldpost.keys import Algorithm
from fieldpost.posts.envelope import decode_post, sign_post
from fieldpost.records import map_keys
from fieldpost.records.counters import ClassCounters, ReleaseCounters
from fieldpost.records.fields import Reading
from fieldpost.records.head import Head, decode_head
from fieldpost.records.maker import KeySet, Role, RoleKey, Scope
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.maker_posts import (
    block_over,
    maker_set,
    record_of,
    release_floor,
    release_sign,
    release_withdraw,
)
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld

HALF = 2**31


def head_of(world: BoardWorld, channel: str = "stable") -> Head:
    value = world.value(map_keys.head(world.maker.class_id("tracker"), channel))
    assert value is not None
    return decode_head(value, Reading.LEDGER)


def sequences_of(world: BoardWorld, channel: str = "stable") -> list[int]:
    return [offer.sequence for offer in head_of(world, channel).offers]


def floor_of(world: BoardWorld) -> int:
    value = world.value(map_keys.class_counters(world.maker.class_id("tracker")))
    assert value is not None
    return ClassCounters.decode(value).floor


def offering() -> BoardWorld:
    """Release 3 for everyone, 2 as a step from 1, 1 for half, in `stable`; `beta` is empty."""
    world = BoardWorld.with_releases(1, 2, 3, 4)
    maker = world.maker
    world.accept(maker.class_set(channels=("stable", "beta")))
    world.accept(
        maker.rollout_set(maker.offer(3), maker.offer(2, from_range=(0, 1)), maker.offer(1, HALF))
    )
    return world


# --- release.floor ---


def test_a_floor_takes_lower_offers_out_and_leaves_the_steps_towards_it() -> None:
    world = offering()
    before = head_of(world)
    world.accept(release_floor(world.maker, 3))
    assert floor_of(world) == 3
    assert sequences_of(world) == [3, 2]
    assert head_of(world).change_count == before.change_count + 1
    assert world.refusal(world.maker.rollout_set(world.maker.offer(1))) == "below-floor"


def test_a_floor_leaves_heads_alone_that_offer_nothing_lower() -> None:
    world = offering()
    world.accept(world.maker.rollout_set(world.maker.offer(3), channel="beta"))
    before = head_of(world, "beta")
    world.accept(release_floor(world.maker, 3))
    assert head_of(world, "beta") == before


@pytest.mark.parametrize("floor", [4, 2**40])
def test_a_floor_is_never_above_what_is_offered_to_everyone(floor: int) -> None:
    assert offering().refusal(release_floor(offering().maker, floor)) == "floor"


def test_every_channel_that_offers_anything_must_carry_the_floor() -> None:
    world = offering()
    maker = world.maker
    for offer in (maker.offer(4, 2**32 - 1), maker.offer(3, lots=(maker.lot_id(),))):
        world.accept(maker.rollout_set(offer, channel="beta"))
        assert world.refusal(release_floor(maker, 1)) == "floor"
    offers = (maker.offer(4, 2**32 - 1), maker.offer(2))
    world.accept(maker.rollout_set(*offers, channel="beta"))
    assert world.refusal(release_floor(maker, 3)) == "floor"
    world.accept(release_floor(maker, 2))


def test_a_floor_only_grows() -> None:
    world = offering()
    world.accept(release_floor(world.maker, 3))
    assert world.refusal(release_floor(world.maker, 3)) == "floor"
    assert world.refusal(release_floor(world.maker, 2)) == "floor"


def test_where_nothing_is_offered_there_is_no_floor() -> None:
    world = BoardWorld.with_releases(1)
    assert world.refusal(release_floor(world.maker, 1)) == "floor"


# --- release.withdraw ---


def test_a_withdrawn_release_is_offered_nowhere_and_stays_on_record() -> None:
    world = offering()
    maker = world.maker
    world.accept(maker.rollout_set(maker.offer(3), channel="beta"))
    world.accept(release_withdraw(maker, 3))
    assert (sequences_of(world), sequences_of(world, "beta")) == ([2, 1], [])
    value = world.value(map_keys.release_counters(maker.class_id("tracker"), 3))
    assert value is not None
    counters = ReleaseCounters.decode(value)
    assert counters.withdrawn == "bricks revision b"
    assert counters.salt is not None
    assert counters.highest == {"stable": 2**32, "beta": 2**32}
    assert world.value(map_keys.release(maker.class_id("tracker"), 3)) is not None


def test_a_withdrawn_release_never_comes_back() -> None:
    world = offering()
    maker = world.maker
    world.accept(release_withdraw(maker, 3))
    assert world.refusal(maker.rollout_set(maker.offer(3))) == "withdrawn"
    assert world.refusal(release_withdraw(maker, 3)) == "withdrawn"
    assert world.refusal(release_sign(maker, 3, maker.keys[Role.RELEASE])) == "withdrawn"


def test_a_withdrawal_leaves_heads_alone_that_do_not_offer_it() -> None:
    world = offering()
    before = head_of(world)
    world.accept(release_withdraw(world.maker, 4))
    assert head_of(world) == before


# --- release.sign ---


def blocks_of(world: BoardWorld, sequence: int) -> list[bytes]:
    value = world.value(map_keys.release_blocks(world.maker.class_id("tracker"), sequence))
    assert value is not None
    blocks = cbor.decode(value)
    assert isinstance(blocks, tuple)
    return [block[0] for block in blocks if isinstance(block, tuple)]  # type: ignore[misc]


def test_further_signatures_make_devices_look_again_and_change_nothing_else() -> None:
    world = offering()
    maker = world.maker
    new = [DeterministicSigner(Algorithm.ED25519, f"renewed/{n}") for n in range(2)]
    world.accept(maker_set(maker, keys={Role.RELEASE: (1, new)}))
    maker.adopt(Role.RELEASE, new)
    before = head_of(world)
    beta = head_of(world, "beta")
    world.accept(release_sign(maker, 3, new[:1]))
    after = head_of(world)
    assert after == replace(before, change_count=before.change_count + 1)
    assert head_of(world, "beta") == beta
    world.accept(release_sign(maker, 3, new[1:]))
    assert blocks_of(world, 3) == sorted(s.public_key.thumbprint() for s in new)


def test_blocks_of_removed_keys_go_when_others_come() -> None:
    world = offering()
    maker = world.maker
    world.accept(release_sign(maker, 3, maker.keys[Role.RELEASE]))
    new = [DeterministicSigner(Algorithm.ED25519, "renewed")]
    world.accept(maker_set(maker, keys={Role.RELEASE: (1, new)}))
    maker.adopt(Role.RELEASE, new)
    world.accept(release_sign(maker, 3, new))
    assert blocks_of(world, 3) == [new[0].public_key.thumbprint()]


def test_a_release_that_no_head_offers_may_be_signed_too() -> None:
    world = offering()
    before = head_of(world)
    world.accept(release_sign(world.maker, 4, world.maker.keys[Role.RELEASE]))
    assert head_of(world) == before


def test_only_current_release_keys_add_signatures() -> None:
    world = offering()
    maker = world.maker
    stranger = DeterministicSigner(Algorithm.ED25519, "stranger")
    for signer in (stranger, maker.keys[Role.ROLLOUT][0]):
        assert world.refusal(release_sign(maker, 3, [signer])) == "unknown-key"


def test_a_key_that_is_not_for_the_class_adds_no_signature() -> None:
    world = offering()
    maker = world.maker
    (kept,) = maker.keys[Role.RELEASE]
    elsewhere = DeterministicSigner(Algorithm.ED25519, "elsewhere")
    scoped = RoleKey(elsewhere.public_key, Scope(classes=(bytes(16),)))
    keys = KeySet(1, (RoleKey(kept.public_key), scoped))
    roles = {**record_of(maker).roles, Role.RELEASE: keys}
    signers = [*maker.quorum(Role.ROOT), elsewhere]
    world.accept(maker_set(maker, roles=roles, signers=signers))
    assert world.refusal(release_sign(maker, 3, [elsewhere])) == "unknown-key"


def test_a_block_must_be_over_this_manifest_by_this_key() -> None:
    world = offering()
    maker = world.maker
    (key,) = maker.keys[Role.RELEASE]
    other = block_over(bytes(32), key)
    assert world.refusal(release_sign(maker, 3, [key], blocks=(other,))) == "bad-signature"
    renamed = replace(other, algorithm=int(Algorithm.ESP256))
    assert world.refusal(release_sign(maker, 3, [key], blocks=(renamed,))) == "bad-signature"


# --- all three ---


def posts(maker: MakerActor, sequence: int, **changes: object) -> list[bytes]:
    keys = maker.keys[Role.RELEASE]
    return [
        release_floor(maker, sequence, **changes),  # type: ignore[arg-type]
        release_withdraw(maker, sequence, **changes),  # type: ignore[arg-type]
        release_sign(maker, sequence, keys, **changes),  # type: ignore[arg-type]
    ]


def test_other_roles_have_no_say() -> None:
    world = offering()
    maker = world.maker
    for role in Role:
        if role is not Role.RELEASE:
            for post in posts(maker, 3, signers=maker.keys[role][:1]):
                assert world.refusal(post) == "unknown-key"


def test_a_threshold_of_release_keys_is_needed() -> None:
    world = BoardWorld()
    world.maker = MakerActor(world, shape={Role.RELEASE: (2, 3)})
    maker = world.maker
    world.accept(maker.registration())
    world.accept(maker.class_set())
    world.accept(maker.release_publish(1))
    world.accept(maker.rollout_set(maker.offer(1)))
    for post in posts(maker, 1, signers=maker.keys[Role.RELEASE][:1]):
        assert world.refusal(post) == "threshold"
    world.accept(release_sign(maker, 1, maker.keys[Role.RELEASE]))
    world.accept(release_floor(maker, 1))
    world.accept(release_withdraw(maker, 1))


def test_what_was_not_published_is_neither_signed_nor_withdrawn() -> None:
    world = offering()
    maker = world.maker
    assert world.refusal(release_withdraw(maker, 9)) == "unknown-release"
    assert world.refusal(release_sign(maker, 9, maker.keys[Role.RELEASE])) == "unknown-release"


def test_each_post_is_taken_once_and_of_a_class_that_exists() -> None:
    world = offering()
    maker = world.maker
    for post in posts(maker, 3, nonce=99):
        assert world.refusal(post) == "nonce"
    for post in posts(maker, 3, class_id=bytes(16)):
        assert world.refusal(post) == "unknown-class"


def test_each_post_is_in_its_makers_name_and_about_its_release() -> None:
    world = offering()
    maker = world.maker
    signers = maker.quorum(Role.RELEASE)
    for entry in posts(maker, 3):
        right = decode_post(entry).statement
        of_another = replace(right, issuer="operator0")
        elsewhere = replace(right, subject="elsewhere")
        assert world.refusal(sign_post(of_another, signers).encode()) == "wrong-issuer"
        assert world.refusal(sign_post(elsewhere, signers).encode()) == "wrong-subject"
