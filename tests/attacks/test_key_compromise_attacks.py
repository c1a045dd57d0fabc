# SPDX-License-Identifier: Apache-2.0
"""Stolen keys, each alone and each threshold met by one key too few: what the board then holds.

A refused post leaves no trace (`BoardWorld.refusal` holds the state against it). In the controls
nobody asks whose key signed, or how many: the same post is accepted.
"""

from collections.abc import Callable, Sequence

import pytest

from fieldpost.keys import Signer
from fieldpost.records import map_keys
from fieldpost.records.head import decode_head
from fieldpost.records.maker import Role
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.maker_posts import (
    advisory_publish,
    device_status,
    maker_set,
    record_of,
    release_withdraw,
)
from fieldpost.testing.operator_posts import board_set, maker_attest
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.cosignature import cosign
from tests.attacks.paper_device import Device, sequences

Write = Callable[[MakerActor, Sequence[Signer]], bytes]

# What each role may post: everything else is out of its reach.
POSTS: dict[str, tuple[Role, Write]] = {
    "class.set": (Role.ROOT, lambda maker, by: maker.class_set(family="evil", signers=by)),
    "maker.set": (Role.ROOT, lambda maker, by: maker_set(maker, contact="evil", signers=by)),
    "reinstatement": (Role.ROOT, lambda maker, by: device_status(maker, (7, 0), signers=by)),
    "release.publish": (Role.RELEASE, lambda maker, by: maker.release_publish(99, signers=by)),
    "release.withdraw": (Role.RELEASE, lambda maker, by: release_withdraw(maker, 11, signers=by)),
    "advisory.publish": (Role.RELEASE, lambda maker, by: advisory_publish(maker, signers=by)),
    "rollout.set": (Role.ROLLOUT, lambda maker, by: maker.rollout_set(signers=by)),
    "lot.enrol": (Role.ENROL, lambda maker, by: maker.lot_enrol(count=7, signers=by)),
    "revocation": (Role.CARE, lambda maker, by: device_status(maker, (8, 1), signers=by)),
}
NOBODY_ASKS = (
    Defence.ROLE_KEYS,
    Defence.ROLE_THRESHOLD,
    Defence.MAKER_KEYS,
    Defence.ROOT_THRESHOLD,
)


def board_at_work(**arguments: object) -> BoardWorld:
    """Releases 1, 10 and 11, of which 11 is offered, and a suspended device."""
    world = BoardWorld.with_releases(1, 10, 11, **arguments)
    world.accept(world.maker.rollout_set(world.maker.offer(11)))
    world.accept(device_status(world.maker, (7, 2)))
    return world


@pytest.mark.parametrize("kind", sorted(POSTS))
@pytest.mark.parametrize("stolen", Role)
def test_one_stolen_key_reaches_nothing_beyond_its_role(stolen: Role, kind: str) -> None:
    """Root needs two of three keys, so one root key alone reaches nothing at all."""
    owner, write = POSTS[kind]
    world = board_at_work()
    thief = world.maker.keys[stolen][:1]
    if owner is stolen and stolen is not Role.ROOT:
        world.accept(write(world.maker, thief))  # what the key is for: see the threat model
        return
    assert world.refusal(write(world.maker, thief)) in ("unknown-key", "threshold")
    with without(*NOBODY_ASKS):
        world.accept(write(world.maker, thief))


@pytest.mark.parametrize(
    ("role", "kind", "defence"),
    [
        (Role.ROOT, "class.set", Defence.ROLE_THRESHOLD),
        (Role.ROOT, "maker.set", Defence.ROOT_THRESHOLD),
        (Role.ROOT, "reinstatement", Defence.ROLE_THRESHOLD),
        (Role.RELEASE, "release.publish", Defence.ROLE_THRESHOLD),
        (Role.RELEASE, "release.withdraw", Defence.ROLE_THRESHOLD),
        (Role.RELEASE, "advisory.publish", Defence.ROLE_THRESHOLD),
    ],
)
def test_one_key_too_few_of_a_threshold_posts_nothing(
    role: Role, kind: str, defence: Defence
) -> None:
    world = BoardWorld()
    shape = {Role.ROOT: (3, 4), Role.RELEASE: (3, 4)}
    maker = world.maker = MakerActor(world, shape=shape)
    world.accept(maker.registration())
    world.accept(maker.class_set())
    world.accept(maker.lot_enrol(), maker.release_publish(1), maker.release_publish(11))
    world.accept(device_status(maker, (7, 2)))
    two_of_three = maker.keys[role][:2]
    post = POSTS[kind][1](maker, two_of_three)
    assert world.refusal(post) == "threshold"
    with without(defence):
        world.accept(post)


def test_two_of_four_operators_cannot_change_the_board() -> None:
    world = BoardWorld(operators=4)
    two = [operator.governance for operator in world.operators[:2]]
    post = board_set(world, signers=two, epoch_s=1)
    assert world.refusal(post) == "threshold"
    with without(Defence.BOARD_QUORUM):
        world.accept(post)


def test_one_of_four_operators_attests_no_domain() -> None:
    world = BoardWorld(operators=4)
    world.accept(world.maker.registration())
    post = maker_attest(world, world.maker, "acme.example", operators=world.operators[:1])
    assert world.refusal(post) == "threshold"
    with without(Defence.ATTESTERS):
        world.accept(post)


def test_a_removed_key_posts_nothing_any_more() -> None:
    """Whoever has stolen a key has it until the next ceremony."""
    world = board_at_work()
    maker = world.maker
    stolen = maker.keys[Role.RELEASE][0]
    fresh = DeterministicSigner(stolen.public_key.algorithm, "acme/release/new")
    world.accept(maker.release_publish(50, signers=[stolen]))
    world.accept(maker_set(maker, keys={Role.RELEASE: (1, [fresh])}))
    later = maker.release_publish(51, signers=[stolen])
    assert world.refusal(later) == "unknown-key"
    assert world.value(map_keys.release(maker.class_id("tracker"), 51)) is None
    with without(Defence.ROLE_KEYS):
        world.accept(later)


def test_a_key_that_was_removed_never_comes_back_in_another_role() -> None:
    """A key lives once on a board, in one role: what leaked there opens nothing elsewhere."""
    world = board_at_work()
    maker = world.maker
    leaked = maker.keys[Role.ENROL][0]
    again = maker_set(maker, keys={Role.RELEASE: (1, [leaked])})
    assert world.refusal(again) in ("malformed", "key-taken")
    assert leaked.public_key.thumbprint() not in record_of(maker).keys_of(Role.RELEASE).by_kid()


@pytest.mark.parametrize(
    ("what", "refusal"),
    [("unpublished", "unknown-release"), ("another manifest", "wrong-manifest")],
)
def test_a_stolen_rollout_key_offers_only_what_release_keys_published(
    what: str, refusal: str
) -> None:
    world = board_at_work()
    maker = world.maker
    if what == "unpublished":
        offer = maker.offer(99, manifest=b"\x66" * 32)
    else:
        offer = maker.offer(11, manifest=maker.offer(10).manifest)
    post = maker.rollout_set(offer)
    assert world.refusal(post) == refusal
    head = world.value(map_keys.head(maker.class_id("tracker"), "stable"))
    assert head is not None
    assert decode_head(head).offers[0].manifest == maker.offer(11).manifest


def test_a_head_that_names_an_older_manifest_under_a_higher_sequence_is_not_posted() -> None:
    """The board's own check; a device checks the same without it, see the chain attacks."""
    world = board_at_work()
    maker = world.maker
    old_as_new = maker.rollout_set(maker.offer(11, manifest=maker.offer(10).manifest))
    assert world.refusal(old_as_new) == "wrong-manifest"
    with without(Defence.COHORT):
        world.accept(old_as_new)
    value = world.value(map_keys.head(maker.class_id("tracker"), "stable"))
    assert value is not None
    assert decode_head(value).offers[0].manifest == maker.offer(10).manifest


def test_the_same_manifest_is_not_published_under_a_higher_sequence() -> None:
    world = board_at_work()
    maker = world.maker
    again = maker.release_publish(12, manifest=maker.offer(10).manifest)
    assert world.refusal(again) == "manifest-taken"


def test_a_stolen_log_key_cosigns_nothing() -> None:
    """Log keys sign checkpoints for people and mirrors; devices do not count them."""
    board = PaperBoard(operators=4)
    board.offer(board.release(11))
    device = Device(board)
    evil = board.fork()
    evil.offer(evil.release(99))
    stolen = [
        cosign(evil.checkpoint, name=op.cosigner_name, signer=op.log, timestamp=evil.time)
        for op in evil._people()
    ]
    device.refuses(evil.bundle_with(stolen), "no-quorum")
    with without(Defence.QUORUM):
        assert sequences(device.check_in(evil.bundle_with(stolen))) == [99]
