# SPDX-License-Identifier: Apache-2.0
"""What one key can write in a day is bounded, and what stops a thief is not among it."""

from typing import Any

import pytest

from fieldpost.ledger.batch import Included
from fieldpost.ledger.replay import replay
from fieldpost.records import map_keys
from fieldpost.records.board import Limits
from fieldpost.records.counters import DailyCount
from fieldpost.records.maker import Role
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.maker_posts import (
    chain_registration,
    device_status,
    maker_set,
    record_of,
    release_withdraw,
)
from fieldpost.testing.operator_posts import blob_gone, board_set, maker_attest
from fieldpost.testing.world import BoardWorld

DAY = 86_400


def limited(**limits: Any) -> BoardWorld:
    """A world with releases 1–3 under generous limits, which then become `limits`."""
    world = BoardWorld.with_releases(1, 2, 3)
    world.accept(board_set(world, limits=Limits(**limits)))
    return world


def next_day(world: BoardWorld) -> None:
    world.time = (world.time // DAY + 1) * DAY


def test_posts_of_a_role_are_counted_per_utc_day_of_batch_time() -> None:
    world = limited(posts_per_day=2)
    maker = world.maker
    next_day(world)
    world.accept(maker.rollout_set(), maker.rollout_set())
    assert world.refusal(maker.rollout_set()) == "daily-limit"
    last_second = (world.time // DAY + 1) * DAY - 1
    assert world.refusal(maker.rollout_set(), time=last_second) == "daily-limit"
    world.accept(maker.rollout_set(), time=last_second + 1)
    key = map_keys.quota(maker.id.hex(), Role.ROLLOUT)
    count = DailyCount.decode(world.values[key])
    assert (count.day, count.posts) == ((last_second + 1) // DAY, 1)
    assert replay(None, world.entries).last == world.state.last


def test_each_role_and_each_maker_has_its_own_count() -> None:
    world = limited(posts_per_day=1)
    maker, other = world.maker, MakerActor(world, "other")
    next_day(world)
    world.accept(other.registration())
    world.accept(
        maker.class_set(family="f"),
        maker.release_publish(4),
        maker.rollout_set(),
        maker.lot_enrol(root=bytes(32)),
        device_status(maker, (0, 2)),
        other.class_set(),
    )
    for post in (
        maker.class_set(family="g"),
        maker.release_publish(5),
        maker.rollout_set(),
        maker.lot_enrol(root=b"\x01" * 32),
        device_status(maker, (1, 2)),
        other.class_set(family="g"),
    ):
        assert world.refusal(post) == "daily-limit"


def test_bytes_are_counted_as_the_entries_have_them() -> None:
    world = BoardWorld.with_releases(1)
    size = len(world.maker.rollout_set(nonce=1))
    world.applied += 1
    world.accept(board_set(world, limits=Limits(bytes_per_day=2 * size)))
    next_day(world)
    world.accept(world.maker.rollout_set(), world.maker.rollout_set())
    assert world.refusal(world.maker.rollout_set()) == "daily-limit"


def test_what_is_refused_is_not_counted() -> None:
    world = limited(posts_per_day=1)
    next_day(world)
    outcomes = world.apply(
        [world.maker.rollout_set(nonce=9), world.maker.rollout_set(nonce=1)]
    ).outcomes
    assert isinstance(outcomes[1], Included)


def test_operators_are_limited_too() -> None:
    world = limited(posts_per_day=1)
    world.accept(blob_gone(world))
    assert world.refusal(blob_gone(world, digest=bytes(32))) == "daily-limit"
    attest = maker_attest(world, world.maker, "acme.example")
    assert world.refusal(attest) == "daily-limit"


def test_a_thief_who_used_the_day_up_cannot_forbid_what_stops_it() -> None:
    world = BoardWorld.with_releases(1, 2)
    maker = world.maker
    world.accept(maker.rollout_set(maker.offer(2), maker.offer(1, 2**31)))
    world.accept(board_set(world, limits=Limits(posts_per_day=0)))
    halted = (maker.offer(2, 0), maker.offer(1, 2**31))
    assert world.refusal(maker.rollout_set(maker.offer(2))) == "daily-limit"
    assert world.refusal(maker.release_publish(3)) == "daily-limit"
    world.accept(
        maker.rollout_set(*halted),
        release_withdraw(maker, 2),
        maker_set(maker, contact="x"),
        board_set(world, epoch_s=30),
    )


@pytest.mark.parametrize("change", ["interval", "raise", "add", "drop", "nothing", "mixed"])
def test_only_a_post_that_does_nothing_but_halt_is_a_halt(change: str) -> None:
    world = BoardWorld.with_releases(1, 2, 3)
    maker = world.maker
    world.accept(maker.rollout_set(maker.offer(2, 2**31), maker.offer(1, 2**31)))
    world.accept(board_set(world, limits=Limits(posts_per_day=0)))
    post = {
        "interval": maker.rollout_set(
            maker.offer(2, 0), maker.offer(1, 2**31), interval_s=60, nonce=2
        ),
        "raise": maker.rollout_set(maker.offer(2, 2**32), maker.offer(1, 2**31), nonce=2),
        "add": maker.rollout_set(
            maker.offer(3, 0), maker.offer(2, 0), maker.offer(1, 2**31), nonce=2
        ),
        "drop": maker.rollout_set(maker.offer(2, 0), nonce=2),
        "nothing": maker.rollout_set(maker.offer(2, 2**31), maker.offer(1, 2**31), nonce=2),
        "mixed": maker.rollout_set(maker.offer(2, 0), maker.offer(1, 2**32), nonce=2),
    }[change]
    assert world.refusal(post) == "daily-limit"
    both = maker.rollout_set(maker.offer(2, 0), maker.offer(1, 0), nonce=2)
    world.accept(both)


def test_a_halt_is_counted_in_the_reserve_and_resuming_is_not() -> None:
    world = BoardWorld.with_releases(1)
    maker = world.maker
    world.accept(maker.rollout_set(maker.offer(1)))
    world.accept(board_set(world, limits=Limits(reserve_posts_per_day=1)))
    world.accept(maker.rollout_set(maker.offer(1, 0)))
    world.accept(maker.rollout_set(maker.offer(1)))
    assert world.refusal(maker.rollout_set(maker.offer(1, 0))) == "daily-limit"


def test_the_reserve_is_bounded_as_well() -> None:
    world = limited(reserve_posts_per_day=1)
    maker = world.maker
    world.accept(release_withdraw(maker, 1), maker_set(maker, contact="a"))
    assert world.refusal(release_withdraw(maker, 2)) == "daily-limit"
    assert world.refusal(maker_set(maker, contact="b")) == "daily-limit"
    assert world.refusal(board_set(world)) == "daily-limit"
    next_day(world)
    world.accept(maker_set(maker, contact="b"))


def test_newcomers_are_limited_over_the_board_and_endorsed_ones_apart() -> None:
    world = BoardWorld(limits=Limits(registrations_per_day=1, endorsed_registrations_per_day=1))
    makers = [MakerActor(world, f"maker{n}") for n in range(4)]
    endorser = world.operators[0].governance
    world.accept(makers[0].registration(), makers[1].registration(endorsers=[endorser]))
    assert world.refusal(makers[2].registration()) == "registration-limit"
    endorsed = makers[2].registration(endorsers=[endorser])
    assert world.refusal(endorsed) == "registration-limit"
    next_day(world)
    world.accept(makers[2].registration(), makers[3].registration(endorsers=[endorser]))


def test_a_guest_is_a_newcomer_once() -> None:
    home = BoardWorld()
    world = BoardWorld(origin="new.test/1", limits=Limits(registrations_per_day=1))
    first = home.maker.registration()
    home.accept(first)
    world.accept(chain_registration(world.maker, [first], record_of(home.maker)))
    other = MakerActor(world, "other")
    assert world.refusal(other.registration()) == "registration-limit"
    second = maker_set(home.maker, contact="x")
    home.accept(second)
    world.accept(chain_registration(world.maker, [first, second], record_of(home.maker)))
