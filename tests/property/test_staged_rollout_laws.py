# SPDX-License-Identifier: Apache-2.0
"""Laws of a staged rollout: whoever is not drawn, and everybody once it is halted, gets the base.

The rollouts are posted and decided by the ledger; the device verifies what the board then shows.
"""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.checkin.belief import Belief, believe
from fieldpost.checkin.build import build_bundle
from fieldpost.checkin.offers import choose_offer
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.posts import subjects
from fieldpost.records import map_keys
from fieldpost.records.counters import Link
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.head import cohort_draw
from fieldpost.records.limits import FULL_THRESHOLD
from fieldpost.records.maker import Role
from fieldpost.records.provisioning import ProvisioningRecord
from fieldpost.testing.world import BoardWorld

ONE_PERCENT = FULL_THRESHOLD // 100
devices = st.binary(min_size=32, max_size=32)


def provisioned(world: BoardWorld) -> Belief:
    """What a device of the class believes that leaves the factory now."""
    maker = world.maker
    board_key, maker_key = map_keys.board(), map_keys.maker(maker.id)
    record = ProvisioningRecord(
        board=world.board,
        urls=("http://board.test",),
        board_record=world.value(board_key) or b"",
        board_link=Link.decode(world.value(map_keys.link(board_key)) or b"").digest,
        maker=maker.id,
        maker_record=world.value(maker_key) or b"",
        maker_link=Link.decode(world.value(map_keys.link(maker_key)) or b"").digest,
        class_id=maker.class_id("tracker"),
        channels=("stable",),
        least_interval_s=60,
        most_interval_s=86_400,
        least_size=len(world.entries),
        least_time=world.time,
        limits=DeviceLimits(),
    )
    subject = subjects.of_class(record.class_id)
    post = maker.post("provisioning", subject, record.encode(), maker.quorum(Role.ROOT))
    return believe(post)[0]


def shown(world: BoardWorld, belief: Belief) -> Verified:
    """What a device verifies that checks in now."""
    key = map_keys.head(world.maker.class_id("tracker"), "stable")
    bundle = build_bundle(
        map=world.state.map,
        key=key,
        state_leaf=world.entries[-1],
        edge=world.edge(),
        cosignatures=world.cosignatures(),
    )
    return verify_bundle(belief, bundle, key=key, now=world.time)


@cache
def staged(*percents: int) -> Verified:
    """A device's view after 11 was offered to these percentages, one after the other, 10 to all."""
    world = BoardWorld.with_releases(9, 10, 11)
    belief = provisioned(world)
    for percent in percents:
        eleven = world.maker.offer(11, percent * FULL_THRESHOLD // 100)
        world.accept(world.maker.rollout_set(eleven, world.maker.offer(10)))
    return shown(world, belief)


def sequence_for(verified: Verified, device: bytes, running: int) -> int | None:
    assert verified.head is not None
    offer = choose_offer(
        verified.head, running=running, device=device, lot=None, timestamp=verified.timestamp
    )
    return None if offer is None else offer.sequence


def is_drawn(verified: Verified, device: bytes) -> bool:
    assert verified.head is not None
    return cohort_draw(verified.head.offers[0].salt or b"", device) < ONE_PERCENT


@given(device=devices)
def test_a_device_on_9_gets_10_while_11_is_at_one_percent_unless_it_is_drawn(device: bytes) -> None:
    verified = staged(1)
    assert sequence_for(verified, device, 9) == (11 if is_drawn(verified, device) else 10)


def test_one_device_in_a_hundred_is_drawn_and_nobody_gets_nothing() -> None:
    """Over 5,000 devices the lottery finds about 50; the draw is fixed by the board."""
    verified = staged(1)
    got = [sequence_for(verified, number.to_bytes(32, "big"), 9) for number in range(5_000)]
    assert set(got) == {10, 11}
    assert 20 <= got.count(11) <= 80


@given(device=devices)
@pytest.mark.parametrize("path", [(0,), (1, 0), (50, 0)])
def test_a_device_on_9_gets_10_while_11_is_halted(path: tuple[int, ...], device: bytes) -> None:
    """Drawn or not, and wherever the rollout of 11 had been when it was halted."""
    assert sequence_for(staged(*path), device, 9) == 10


@given(device=devices)
def test_a_halt_takes_no_device_back(device: bytes) -> None:
    assert sequence_for(staged(1, 0), device, 11) is None
    assert sequence_for(staged(1, 0), device, 10) is None


@given(device=devices)
def test_a_device_that_was_drawn_stays_drawn_when_the_rollout_grows(device: bytes) -> None:
    first, later = staged(1), staged(1, 50)
    if sequence_for(first, device, 9) == 11:
        assert sequence_for(later, device, 9) == 11
    assert sequence_for(staged(1, 100), device, 9) == 11
