# SPDX-License-Identifier: Apache-2.0
"""Heads that a maker's keys could abuse: grinding cohorts, intervals, sequences that run ahead."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.records import map_keys
from fieldpost.records.head import Head, Offer, cohort_draw, decode_head
from fieldpost.records.maker import Role
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.maker_posts import maker_set, release_withdraw
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld
from tests.attacks.paper_agent import AgentOnPaper

VICTIM = sha256(b"one device among thousands").digest()
# Low enough that a first draw hardly ever falls below it, high enough to be found by grinding.
NARROW = 2**32 // 12


def head_of(world: BoardWorld) -> Head:
    value = world.value(map_keys.head(world.maker.class_id("tracker"), "stable"))
    assert value is not None
    return decode_head(value)


def first_offer(world: BoardWorld) -> Offer:
    return head_of(world).offers[0]


def is_drawn(world: BoardWorld) -> bool:
    offer = first_offer(world)
    assert offer.salt is not None
    return cohort_draw(offer.salt, VICTIM) < offer.threshold


# --- salt grinding ---


def grind(world: BoardWorld, tries: int) -> int:
    """Offer the release to few and take it back until one chosen device is drawn; the tries."""
    maker = world.maker
    for tried in range(1, tries + 1):
        world.accept(maker.rollout_set(maker.offer(11, NARROW)))
        if is_drawn(world):
            return tried
        world.accept(maker.rollout_set())
    return 0


def test_offering_a_release_again_and_again_draws_nobody_anew() -> None:
    """A salt is made once for a release, and not by its maker: no second throw."""
    world = BoardWorld.with_releases(11)
    world.accept(world.maker.rollout_set(world.maker.offer(11, NARROW)))
    salt = first_offer(world).salt
    assert not is_drawn(world)
    assert grind(world, 60) == 0
    world.accept(world.maker.rollout_set(world.maker.offer(11, NARROW)))
    assert first_offer(world).salt == salt
    with without(Defence.COHORT):
        assert grind(world, 60) > 0


def test_a_maker_cannot_bring_its_own_salt() -> None:
    world = BoardWorld.with_releases(11)
    chosen = world.maker.offer(11, NARROW, salt=b"chosen!!")
    assert world.refusal(world.maker.rollout_set(chosen)) == "malformed"


def test_grinding_by_new_releases_is_possible_and_public() -> None:
    """What remains, as it is: each throw costs a release and an offer that everybody can read."""
    world = BoardWorld.with_releases(*range(1, 61))
    maker = world.maker
    throws = 0
    for sequence in range(1, 61):
        world.accept(maker.rollout_set(maker.offer(sequence, NARROW)))
        throws += 1
        if is_drawn(world):
            break
    assert is_drawn(world)
    assert head_of(world).change_count >= throws


# --- hostile interval ---


@pytest.mark.parametrize("interval_s", [1, 366 * 86_400], ids=["hammering", "sleeping"])
def test_a_hostile_interval_is_not_posted(interval_s: int) -> None:
    world = BoardWorld.with_releases(11)
    maker = world.maker
    before = head_of(world).interval_s
    post = maker.rollout_set(maker.offer(11), interval_s=interval_s)
    assert world.refusal(post) == "interval"
    assert head_of(world).interval_s == before
    with without(Defence.INTERVAL):
        world.accept(post)
    assert head_of(world).interval_s == interval_s


@pytest.mark.parametrize(("asked", "kept"), [(1, 60), (366 * 86_400, 86_400)])
def test_a_device_keeps_to_its_factorys_bounds_whatever_a_head_says(
    tmp_path: Path, asked: int, kept: int
) -> None:
    """A dishonest board has no say over how often devices call, or that they stop calling."""
    board = PaperBoard()
    board.head = replace(board.head, interval_s=asked)
    board.seal()
    with PaperNode(board) as node, AgentOnPaper(tmp_path, node).awake() as agent:
        agent.check_in()
        assert agent.interval_s == kept
        with without(Defence.INTERVAL_BOUNDS):
            agent.check_in()
        assert agent.interval_s == asked


# --- fast-forward ---


def test_a_stolen_release_key_cannot_use_up_all_sequences() -> None:
    """And what it used up of the window is made up for after the keys were rotated."""
    world = BoardWorld.with_releases(11)
    maker = world.maker
    assert world.refusal(maker.release_publish(2**63 - 1)) == "sequence"
    window = 2**63 - 1
    while world_refuses(world, window):
        window //= 2
    world.accept(maker.release_publish(window))
    fresh = DeterministicSigner(maker.keys[Role.ROOT][0].public_key.algorithm, "release/new")
    world.accept(maker_set(maker, keys={Role.RELEASE: (1, [fresh])}))
    maker.adopt(Role.RELEASE, [fresh])
    world.accept(release_withdraw(maker, window), maker.release_publish(window + 1))
    world.accept(maker.rollout_set(maker.offer(window + 1)))
    assert first_offer(world).sequence == window + 1


def test_control_without_the_window_no_release_could_ever_follow() -> None:
    world = BoardWorld.with_releases(11)
    maker = world.maker
    with without(Defence.SEQUENCE_WINDOW):
        world.accept(maker.release_publish(2**63 - 1))
    assert world.refusal(maker.release_publish(12)) == "sequence"


def world_refuses(world: BoardWorld, sequence: int) -> bool:
    try:
        world.refusal(world.maker.release_publish(sequence))
    except AssertionError:
        return False
    return True
