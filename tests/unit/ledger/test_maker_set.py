# SPDX-License-Identifier: Apache-2.0
"""A maker changes its keys under old and new root, and every head moves in the same apply."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fieldpost.keys import Algorithm, PublicKey
from fieldpost.ledger.replay import replay
from fieldpost.posts import subjects
from fieldpost.posts.envelope import decode_post
from fieldpost.records import map_keys
from fieldpost.records.counters import Link
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.fields import Reading
from fieldpost.records.head import Head, decode_head
from fieldpost.records.maker import KeySet, Role, RoleKey, Scope
from fieldpost.testing.actors import MakerActor, WitnessActor
from fieldpost.testing.maker_posts import maker_set, record_of
from fieldpost.testing.operator_posts import board_set
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld

NO_POINT = PublicKey(Algorithm.ED25519, b"\x02" + bytes(31))


def fresh(name: str, count: int = 1) -> list[DeterministicSigner]:
    return [DeterministicSigner(Algorithm.ED25519, f"fresh/{name}/{n}") for n in range(count)]


def head_of(world: BoardWorld, name: str = "tracker", channel: str = "stable") -> Head:
    value = world.value(map_keys.head(world.maker.class_id(name), channel))
    assert value is not None
    return decode_head(value, Reading.LEDGER)


def test_a_rotation_moves_every_head_of_every_class() -> None:
    world = BoardWorld.with_releases(1)
    maker = world.maker
    world.accept(maker.class_set(channels=("stable", "beta")), maker.class_set("other"))
    world.accept(maker.rollout_set(maker.offer(1)))
    before = head_of(world)
    world.accept(maker_set(maker, keys={Role.RELEASE: (1, fresh("release"))}))
    link = Link.decode(world.values[map_keys.link(map_keys.maker(maker.id))])
    assert link.epoch == 1
    after = head_of(world)
    assert after.offers == before.offers
    assert after.change_count == before.change_count + 1
    for name, channel in (("tracker", "stable"), ("tracker", "beta"), ("other", "stable")):
        head = head_of(world, name, channel)
        assert (head.maker_epoch, head.maker_link) == (1, link.digest)
    assert replay(None, world.entries).last == world.state.last


def test_heads_of_other_makers_stay() -> None:
    world = BoardWorld.with_class()
    other = MakerActor(world, "other")
    world.accept(other.registration())
    world.accept(other.class_set())
    key = map_keys.head(other.class_id("tracker"), "stable")
    before = world.value(key)
    world.accept(maker_set(world.maker, contact="x"))
    assert world.value(key) == before


def test_a_removed_key_is_worth_nothing_and_the_new_one_works() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    new = fresh("release")
    old = maker.keys[Role.RELEASE]
    world.accept(maker_set(maker, keys={Role.RELEASE: (1, new)}))
    assert world.refusal(maker.release_publish(1)) == "unknown-key"
    maker.adopt(Role.RELEASE, new)
    world.accept(maker.release_publish(1))
    back = maker_set(maker, keys={Role.RELEASE: (1, old)})
    assert world.refusal(back) == "key-taken"


def test_new_roots_take_over_and_the_maker_keeps_its_id() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    maker_id, roots = maker.id, fresh("root", 3)
    world.accept(maker_set(maker, keys={Role.ROOT: (2, roots)}))
    assert world.refusal(maker.class_set(family="f")) == "unknown-key"
    maker.adopt(Role.ROOT, roots, 2)
    world.accept(maker.class_set(family="f"), maker_set(maker, contact="x"))
    assert maker.id == maker_id


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 1), (0, 3), (2, 0)])
def test_one_root_key_too_few_on_either_side_is_refused(old: int, new: int) -> None:
    """Three new keys prove possession, so only the old side can fall short beside them."""
    world = BoardWorld.with_class()
    maker = world.maker
    kept = maker.keys[Role.ROOT]
    roots = [kept[2], *fresh("root", 2)]
    signers = [*kept[:old], *roots[1 : 1 + new]]
    post = maker_set(maker, keys={Role.ROOT: (3, roots)}, signers=signers)
    assert world.refusal(post) in {"threshold", "possession"}
    good = [*kept, *roots[1:]]
    world.accept(maker_set(maker, keys={Role.ROOT: (3, roots)}, signers=good))


def test_a_stolen_root_key_alone_changes_nothing() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    thief = fresh("thief", 3)
    signers = [maker.keys[Role.ROOT][0], *thief]
    post = maker_set(maker, keys={Role.ROOT: (1, thief)}, signers=signers)
    assert world.refusal(post) == "threshold"


def test_the_new_root_threshold_signs_too() -> None:
    """A threshold of three that only two of the kept keys signed is not met."""
    world = BoardWorld.with_class()
    maker = world.maker
    roots = maker.keys[Role.ROOT]
    post = maker_set(maker, keys={Role.ROOT: (3, roots)}, signers=roots[:2])
    assert world.refusal(post) == "threshold"
    world.accept(maker_set(maker, keys={Role.ROOT: (3, roots)}, signers=roots))


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ROOT])
def test_every_new_key_proves_possession(role: Role) -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    keys = {role: (1, fresh("x"))}
    post = maker_set(maker, keys=keys, signers=maker.quorum(Role.ROOT))
    assert world.refusal(post) == "possession"
    world.accept(maker_set(maker, keys=keys))


def test_a_key_does_not_change_its_role() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    care = maker.keys[Role.CARE]
    keys = {Role.CARE: (1, fresh("care")), Role.RELEASE: (1, care)}
    assert world.refusal(maker_set(maker, keys=keys)) == "key-taken"


def test_another_makers_key_is_taken() -> None:
    world = BoardWorld.with_class()
    other = MakerActor(world, "other")
    world.accept(other.registration())
    keys = {Role.CARE: (1, other.keys[Role.CARE])}
    assert world.refusal(maker_set(world.maker, keys=keys)) == "key-taken"


def test_a_role_key_has_no_say_in_a_change() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    signers = [*maker.quorum(Role.ROOT), *maker.keys[Role.RELEASE]]
    assert world.refusal(maker_set(maker, signers=signers)) == "unknown-key"


def test_a_scope_of_a_kept_key_changes_without_its_signature() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    record = record_of(maker)
    (release,) = maker.keys[Role.RELEASE]
    elsewhere = Scope(classes=(bytes(16),))
    scoped = KeySet(1, (RoleKey(release.public_key, elsewhere),))
    world.accept(maker_set(maker, roles={**record.roles, Role.RELEASE: scoped}))
    assert world.refusal(maker.release_publish(1)) == "scope"


@pytest.mark.parametrize("role", [Role.ROOT, Role.RELEASE])
def test_no_change_leaves_a_class_that_cannot_verify_the_new_keys(role: Role) -> None:
    world = BoardWorld()
    maker = world.maker
    only = DeviceLimits(algorithms=(Algorithm.ED25519,))
    world.accept(maker.registration())
    world.accept(maker.class_set(limits=only), maker.class_set("other"))
    modern = [DeterministicSigner(Algorithm.ESP256, f"modern/{n}") for n in range(3)]
    threshold = maker.threshold[role]
    post = maker_set(maker, keys={role: (threshold, modern)})
    assert world.refusal(post) == "class-algorithms"
    mixed = [*modern[:2], *maker.keys[role][:threshold]]
    world.accept(maker_set(maker, keys={role: (threshold, mixed)}))


def test_a_link_follows_the_last_one() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    world.accept(maker_set(maker, contact="a"))
    assert world.refusal(maker_set(maker, epoch=1)) == "epoch"
    assert world.refusal(maker_set(maker, epoch=3)) == "epoch"
    assert world.refusal(maker_set(maker, epoch=0, previous=None)) == "taken"
    assert world.refusal(maker_set(maker, previous=bytes(32))) == "previous-link"


def test_a_change_speaks_for_its_maker_alone() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    other = MakerActor(world, "other")
    world.accept(other.registration())
    assert world.refusal(maker_set(maker, claims={"issuer": other.id.hex()})) == "wrong-issuer"
    payload = decode_post(maker_set(maker)).statement.payload
    signers = maker.quorum(Role.ROOT)
    for subject, code in {
        "nonsense": "wrong-subject",
        "AB" * 16: "wrong-subject",
        "ab" * 15: "wrong-subject",
        "ab" * 16: "unknown-maker",
        subjects.of_maker(other.id): "wrong-issuer",
    }.items():
        assert world.refusal(maker.post("maker.set", subject, payload, signers)) == code


@pytest.mark.parametrize(
    "changes",
    [
        {"board_epoch": 1},
        {"board_link": bytes(32)},
        {"witnesses": (WitnessActor("unheard-of").key,)},
    ],
)
def test_a_new_policy_for_this_board_fits_it(changes: dict[str, Any]) -> None:
    world = BoardWorld(witnesses=1)
    maker = world.maker
    world.accept(maker.registration())
    policy = replace(record_of(maker).policy, **changes)
    assert world.refusal(maker_set(maker, policy=policy)) == "bad-policy"


def test_a_policy_names_a_witness_from_when_the_board_has_it() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    witness = WitnessActor("new")
    policy = replace(record_of(maker).policy, witnesses=(witness.key,))
    assert world.refusal(maker_set(maker, policy=policy)) == "bad-policy"
    world.accept(board_set(world, witnesses=(witness.witness(),)))
    world.accept(maker_set(maker, policy=policy))


def test_a_policy_may_name_another_board_and_then_the_chain_goes_on_there() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    policy = replace(record_of(maker).policy, board="other.test/1#" + "00" * 16)
    world.accept(maker_set(maker, policy=policy))
    assert world.refusal(maker_set(maker, contact="x")) == "moved"
    # Devices that have not moved yet are served as before.
    world.accept(maker.release_publish(1))


def test_exempt_keys_must_be_sound() -> None:
    world = BoardWorld.with_class()
    assert world.refusal(maker_set(world.maker, report_key=NO_POINT)) == "bad-key"


def test_a_change_carries_no_earlier_links() -> None:
    world = BoardWorld.with_class()
    assert world.refusal(maker_set(world.maker, earlier_links=(b"\xd2",))) == "bad-chain"


def test_a_spoilt_signature_refuses_the_change() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    good = decode_post(maker_set(maker))
    spoilt: Sequence[Any] = [
        replace(signature, signature=bytes(64)) for signature in good.signatures
    ]
    assert world.refusal(replace(good, signatures=tuple(spoilt)).encode()) == "bad-signature"


def test_a_flood_of_posts_by_a_thief_delays_no_ceremony() -> None:
    """A link carries an epoch and not a nonce, and has a reserve of its own."""
    world = BoardWorld.with_releases(1)
    maker = world.maker
    post = maker_set(maker, keys={Role.ROLLOUT: (1, fresh("rollout"))})
    world.accept(*(maker.rollout_set() for _ in range(20)))
    world.accept(post)
    assert world.refusal(maker.rollout_set()) == "unknown-key"
