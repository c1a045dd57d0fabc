# SPDX-License-Identifier: Apache-2.0
"""What a maker did not expect alarms it, and what it did expect does not."""

import json
from dataclasses import replace

import pytest

from fieldpost.keys import Algorithm
from fieldpost.posts.envelope import decode_post
from fieldpost.records.maker import Role
from fieldpost.testing import maker_posts
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld
from fieldpost.watch.monitor.alarm import Alarm, read_alarm
from fieldpost.watch.monitor.expectations import Allowed, Expected
from fieldpost.watch.monitor.judging import Posted, Watched, judge

# Monday, 2027-01-18 08:00 UTC.
MONDAY = 1_800_259_200


@pytest.fixture
def world() -> BoardWorld:
    return BoardWorld.with_releases(10, 11)


@pytest.fixture
def expected(world: BoardWorld) -> Expected:
    return Expected(maker=world.maker.id)


def history(world: BoardWorld) -> Watched:
    """The maker as a monitor knows it that begins after the registration."""
    posted = Posted(post=decode_post(world.entries[2]), index=2, time=0, board=world.board)
    watched, alarms = judge(posted, Watched(since=3), Expected(maker=world.maker.id), now=0)
    assert alarms == []
    return watched


def alarms_of(
    world: BoardWorld, expected: Expected, *posts: bytes, time: int = MONDAY
) -> list[Alarm]:
    watched = history(world)
    found: list[Alarm] = []
    for index, entry in enumerate(posts, len(world.entries)):
        posted = Posted(post=decode_post(entry), index=index, time=time, board=world.board)
        watched, alarms = judge(posted, watched, expected, now=time + 5)
        found += alarms
    return found


def kinds(alarms: list[Alarm]) -> list[str]:
    return [alarm.kind for alarm in alarms]


def test_what_is_expected_alarms_nobody(world: BoardWorld, expected: Expected) -> None:
    maker = world.maker
    posts = maker.release_publish(12), maker.rollout_set(maker.offer(11, 2**30))
    assert alarms_of(world, expected, *posts) == []


def test_what_stood_on_the_board_before_alarms_nobody(world: BoardWorld) -> None:
    assert history(world).roles.keys() == {
        signer.public_key.thumbprint() for keys in world.maker.keys.values() for signer in keys
    }


def test_a_post_by_a_key_that_is_not_expected_alarms(world: BoardWorld, expected: Expected) -> None:
    none = replace(expected, keys=frozenset({b"\x01" * 32}))
    (alarm,) = alarms_of(world, none, world.maker.release_publish(12))
    assert alarm.kind == "unexpected-post"
    kid = world.maker.keys[Role.RELEASE][0].public_key.thumbprint().hex()
    assert f"release key {kid}" in alarm.text
    assert alarm.facts["entry"] == len(world.entries)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hours": ((9 * 60, 17 * 60),)}, "mon 08:00 UTC"),
        ({"days": frozenset({5, 6})}, "mon 08:00 UTC"),
        ({"hours": ()}, "mon 08:00 UTC"),
        ({"kinds": frozenset({"rollout.set"})}, "of a kind"),
    ],
)
def test_a_post_at_another_time_or_of_another_kind_alarms(
    world: BoardWorld, expected: Expected, changes: dict[str, object], words: str
) -> None:
    limited = replace(expected, **changes)  # type: ignore[arg-type]
    (alarm,) = alarms_of(world, limited, world.maker.release_publish(12))
    assert alarm.kind == "unexpected-post"
    assert words in alarm.text


@pytest.mark.parametrize(
    "changes",
    [{"hours": ((8 * 60, 9 * 60),)}, {"days": frozenset({0})}, {"kinds": {"release.publish"}}],
)
def test_within_the_expected_times_and_kinds_nobody_is_alarmed(
    world: BoardWorld, expected: Expected, changes: dict[str, object]
) -> None:
    limited = replace(expected, **changes)  # type: ignore[arg-type]
    assert alarms_of(world, limited, world.maker.release_publish(12)) == []


def thief() -> DeterministicSigner:
    return DeterministicSigner(Algorithm.ED25519, "thief")


def with_new_release_key(world: BoardWorld) -> bytes:
    return maker_posts.maker_set(world.maker, keys={Role.RELEASE: (1, [thief()])})


def test_a_new_key_alarms_and_so_does_the_record_that_brings_it(
    world: BoardWorld, expected: Expected
) -> None:
    alarms = alarms_of(world, expected, with_new_release_key(world))
    assert kinds(alarms) == ["new-key", "new-record"]
    kid = thief().public_key.thumbprint().hex()
    assert alarms[0].facts["kid"] == kid
    old = world.maker.keys[Role.RELEASE][0].public_key.thumbprint().hex()
    assert alarms[1].facts["removed_keys"] == [old]


def test_what_a_new_key_posts_alarms_until_somebody_expects_it(
    world: BoardWorld, expected: Expected
) -> None:
    link = with_new_release_key(world)
    post = world.maker.release_publish(12, signers=[thief()])
    assert kinds(alarms_of(world, expected, link, post))[2:] == ["unexpected-post"]
    everybody = history(world).roles.keys() | {thief().public_key.thumbprint()}
    informed = replace(expected, keys=frozenset(everybody), epoch=1)
    assert alarms_of(world, informed, link, post) == []


def test_a_record_without_a_new_key_alarms_too(world: BoardWorld, expected: Expected) -> None:
    link = maker_posts.maker_set(world.maker, contact="thief@example.org")
    assert kinds(alarms_of(world, expected, link)) == ["new-record"]
    assert alarms_of(world, replace(expected, epoch=1), link) == []


def allowed(percent: float, *, sequence: int | None = 11) -> tuple[Allowed, ...]:
    return (Allowed(class_id=None, channel="stable", sequence=sequence, percent=percent),)


@pytest.mark.parametrize(
    ("rollouts", "share", "alarmed"),
    [
        (allowed(25), 2**30, False),
        (allowed(25), 2**30 + 2**20, True),
        (allowed(100, sequence=10), 2**30, True),
        (allowed(10, sequence=None), 2**28, False),
        ((), 2**20, True),
        ((), 0, False),
    ],
)
def test_a_rollout_beyond_what_is_allowed_alarms(
    world: BoardWorld,
    expected: Expected,
    rollouts: tuple[Allowed, ...],
    share: int,
    alarmed: bool,
) -> None:
    post = world.maker.rollout_set(world.maker.offer(11, share))
    found = alarms_of(world, replace(expected, rollouts=rollouts), post)
    assert kinds(found) == ["rollout"] * alarmed


def test_a_withdrawn_release_and_a_new_lot_alarm(world: BoardWorld, expected: Expected) -> None:
    maker = world.maker
    withdraw = maker_posts.release_withdraw(maker, 10)
    lot = maker.lot_enrol(root=b"\x22" * 32)
    alarms = alarms_of(world, expected, withdraw, lot)
    assert kinds(alarms) == ["withdrawn-release", "new-lot"]
    assert alarms[1].facts["count"] == 100
    known = replace(expected, lots=frozenset({maker.lot_id(root=b"\x22" * 32)}))
    assert kinds(alarms_of(world, known, withdraw, lot)) == ["withdrawn-release"]


def test_the_same_post_found_again_is_the_same_alarm(world: BoardWorld, expected: Expected) -> None:
    post = maker_posts.release_withdraw(world.maker, 10)
    (first,) = alarms_of(world, expected, post)
    (second,) = alarms_of(world, expected, post, time=MONDAY + 60)
    assert first.id == second.id
    assert first.at != second.at


def test_an_alarm_is_read_back_as_it_was_written(world: BoardWorld, expected: Expected) -> None:
    (alarm,) = alarms_of(world, expected, maker_posts.release_withdraw(world.maker, 10))
    again = read_alarm(json.dumps(alarm.value()))
    assert again.value() == alarm.value()
