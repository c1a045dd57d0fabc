# SPDX-License-Identifier: Apache-2.0
"""Floods of posts: what one key, or a crowd of newcomers, can write into everybody's log in a day.

Rules count, not nodes, so a node that lets its friends through writes a log that replicas refuse.
"""

import pytest

from fieldpost.errors import Untrusted
from fieldpost.ledger.batch import Included, Refused
from fieldpost.ledger.replay import replay
from fieldpost.records.board import Limits
from fieldpost.records.maker import Role
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.maker_posts import maker_set, release_withdraw
from fieldpost.testing.operator_posts import board_set
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld

DAY = 86_400


def limited(**limits: int) -> BoardWorld:
    world = BoardWorld.with_releases(10, 11)
    world.accept(board_set(world, limits=Limits(**limits)))
    world.time = (world.time // DAY + 1) * DAY
    return world


def flood(world: BoardWorld, count: int) -> int:
    """How many of so many rollouts by one key are taken."""
    posts = [world.maker.rollout_set(world.maker.offer(11)) for _ in range(count)]
    return sum(isinstance(outcome, Included) for outcome in world.apply(posts).outcomes)


def test_one_key_fills_the_log_no_further_than_a_days_limit() -> None:
    world = limited(posts_per_day=5)
    before = len(world.entries)
    assert flood(world, 40) == 5
    assert len(world.entries) == before + 5 + 1
    with without(Defence.POST_LIMIT):
        assert flood(world, 40) == 40


def test_large_posts_are_limited_by_their_bytes() -> None:
    world = limited(bytes_per_day=2_000)
    before = sum(map(len, world.entries))
    assert flood(world, 40) < 10
    assert sum(map(len, world.entries)) - before < 2_500
    with without(Defence.POST_LIMIT):
        assert flood(world, 40) == 40


def test_a_crowd_of_new_makers_is_limited_over_the_whole_board() -> None:
    world = BoardWorld(limits=Limits(registrations_per_day=3))
    crowd = [MakerActor(world, f"sybil{n}").registration() for n in range(8)]
    outcomes = world.apply(crowd).outcomes
    assert [isinstance(outcome, Included) for outcome in outcomes] == [True] * 3 + [False] * 5
    assert {outcome.name for outcome in outcomes if isinstance(outcome, Refused)} == {
        "registration-limit"
    }
    with without(Defence.POST_LIMIT):
        world.accept(*crowd[3:])


def test_a_flood_does_not_lock_the_owner_out() -> None:
    """Rotation, withdrawal and halt have a reserve of their own."""
    world = limited(posts_per_day=5)
    maker = world.maker
    assert flood(world, 40) == 5
    assert world.refusal(maker.rollout_set(maker.offer(10))) == "daily-limit"
    fresh = DeterministicSigner(maker.keys[Role.ROOT][0].public_key.algorithm, "rollout/new")
    world.accept(
        maker.rollout_set(maker.offer(11, 0)),
        release_withdraw(maker, 11),
        maker_set(maker, keys={Role.ROLLOUT: (1, [fresh])}),
    )


def test_a_log_that_a_node_wrote_beyond_the_limits_is_no_board() -> None:
    """The operator whose node lets its own maker through is caught by whoever replays the log."""
    world = limited(posts_per_day=5)
    before, size = world.state, len(world.entries)
    with without(Defence.POST_LIMIT):
        assert flood(world, 10) == 10
        assert replay(before, world.entries[size:]).last == world.state.last
    with pytest.raises(Untrusted, match="refused-post"):
        replay(before, world.entries[size:])


def test_a_post_of_unbounded_size_is_not_even_read() -> None:
    world = BoardWorld.with_class()
    assert world.refusal(b"\xd2" + bytes(70_000)) == "malformed"
