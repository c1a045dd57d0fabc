# SPDX-License-Identifier: Apache-2.0
"""A care key takes devices out, only root brings one back, and some never come back."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from fieldpost.identity.status import DeviceStatus, read_status
from fieldpost.ledger.batch import Included
from fieldpost.posts.envelope import decode_post, sign_post
from fieldpost.records import map_keys
from fieldpost.records.limits import MAX_STATUS_CHANGES
from fieldpost.records.maker import KeySet, Role, RoleKey, Scope
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.maker_posts import device_status, maker_set, record_of
from fieldpost.testing.world import BoardWorld

VALID, REVOKED, SUSPENDED, DECOMMISSIONED = (
    DeviceStatus.VALID,
    DeviceStatus.REVOKED,
    DeviceStatus.SUSPENDED,
    DeviceStatus.DECOMMISSIONED,
)


def status_of(world: BoardWorld, index: int, lot: bytes | None = None) -> DeviceStatus:
    lot = world.maker.lot_id() if lot is None else lot
    return read_status(world.value(map_keys.status(lot, index // 1024)), index)


def test_devices_of_a_lot_change_their_status_and_all_others_stay() -> None:
    world = BoardWorld.with_releases(1)
    world.accept(device_status(world.maker, (0, REVOKED), (7, SUSPENDED), (99, DECOMMISSIONED)))
    assert [status_of(world, index) for index in (0, 7, 99)] == [1, 2, 3]
    others = set(range(100)) - {0, 7, 99}
    assert {status_of(world, index) for index in others} == {VALID}


def test_only_pages_that_change_are_written() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    world.accept(maker.lot_enrol(count=5_000))
    lot = maker.lot_id(count=5_000)
    changes = ((1_023, REVOKED), (1_024, SUSPENDED), (4_999, REVOKED))
    world.accept(device_status(maker, *changes, lot=lot))
    pages = [world.value(map_keys.status(lot, page)) is not None for page in range(5)]
    assert pages == [True, True, False, False, True]
    assert [status_of(world, index, lot) for index, _ in changes] == [s for _, s in changes]


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        ([REVOKED], True),
        ([DECOMMISSIONED], True),
        ([SUSPENDED, VALID, SUSPENDED, REVOKED], True),
        ([SUSPENDED, DECOMMISSIONED], True),
        ([VALID], False),
        ([SUSPENDED, SUSPENDED], False),
        ([REVOKED, REVOKED], False),
        ([REVOKED, VALID], False),
        ([REVOKED, SUSPENDED], False),
        ([DECOMMISSIONED, VALID], False),
        ([DECOMMISSIONED, REVOKED], False),
    ],
)
def test_a_status_goes_its_ways_and_no_others(path: Sequence[DeviceStatus], accepted: bool) -> None:
    world = BoardWorld.with_releases(1)
    *before, last = path
    for status in before:
        world.accept(device_status(world.maker, (5, status)))
    post = device_status(world.maker, (5, last))
    if accepted:
        world.accept(post)
        assert status_of(world, 5) is last
    else:
        assert world.refusal(post) == "status"


def test_a_stolen_care_key_brings_nothing_back() -> None:
    world = BoardWorld.with_releases(1)
    maker = world.maker
    world.accept(device_status(maker, (5, SUSPENDED)))
    care = maker.keys[Role.CARE]
    assert world.refusal(device_status(maker, (5, VALID), signers=care)) == "unknown-key"
    hidden = device_status(maker, (3, REVOKED), (5, VALID), signers=care)
    assert world.refusal(hidden) == "unknown-key"
    one_root = maker.keys[Role.ROOT][:1]
    assert world.refusal(device_status(maker, (5, VALID), signers=one_root)) == "threshold"
    world.accept(device_status(maker, (3, REVOKED), (5, VALID)))
    assert status_of(world, 5) is VALID


def test_root_has_no_other_say_over_devices() -> None:
    world = BoardWorld.with_releases(1)
    roots = world.maker.quorum(Role.ROOT)
    post = device_status(world.maker, (5, REVOKED), signers=roots)
    assert world.refusal(post) == "unknown-key"


@pytest.mark.parametrize("role", [Role.RELEASE, Role.ROLLOUT, Role.ENROL])
def test_no_other_role_takes_devices_out(role: Role) -> None:
    world = BoardWorld.with_releases(1)
    post = device_status(world.maker, (5, REVOKED), signers=world.maker.keys[role])
    assert world.refusal(post) == "unknown-key"


def test_the_lot_has_the_device() -> None:
    world = BoardWorld.with_releases(1)
    assert world.refusal(device_status(world.maker, (100, REVOKED))) == "unknown-device"
    post = device_status(world.maker, (0, REVOKED), lot=bytes(16))
    assert world.refusal(post) == "unknown-lot"


@pytest.mark.parametrize(
    "changes",
    [(), ((5, 1), (4, 1)), ((5, 1), (5, 2)), ((5, 4),), ((2**20, 1),), ((-1, 1),)],
)
def test_changes_are_sorted_and_one_a_device(changes: tuple[tuple[int, int], ...]) -> None:
    world = BoardWorld.with_releases(1)
    assert world.refusal(device_status(world.maker, *changes)) == "malformed"


def test_a_post_changes_at_most_so_many_devices() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    world.accept(maker.lot_enrol(count=5_000))
    lot = maker.lot_id(count=5_000)
    many = tuple((index, int(REVOKED)) for index in range(MAX_STATUS_CHANGES + 1))
    assert world.refusal(device_status(maker, *many, lot=lot)) == "malformed"
    batch = world.accept(device_status(maker, *many[:-1], lot=lot))
    assert batch.outcomes == (Included(batch.state.size - 2),)


def test_a_post_is_taken_once_within_its_keys_scope_and_claims() -> None:
    world = BoardWorld.with_releases(1)
    maker = world.maker
    post = device_status(maker, (5, SUSPENDED))
    world.accept(post)
    assert world.refusal(post) == "nonce"
    statement = decode_post(device_status(maker, (6, SUSPENDED))).statement
    care = maker.keys[Role.CARE]
    for wrong, code in (
        (replace(statement, issuer="elsewhere"), "wrong-issuer"),
        (replace(statement, subject="elsewhere"), "wrong-subject"),
    ):
        assert world.refusal(sign_post(wrong, care).encode()) == code
    scoped = KeySet(1, (RoleKey(care[0].public_key, Scope(classes=(bytes(16),))),))
    world.accept(maker_set(maker, roles={**record_of(maker).roles, Role.CARE: scoped}))
    assert world.refusal(device_status(maker, (6, SUSPENDED))) == "scope"


def test_another_maker_has_no_say() -> None:
    world = BoardWorld.with_releases(1)
    other = MakerActor(world, "other")
    world.accept(other.registration())
    post = device_status(other, (5, REVOKED), lot=world.maker.lot_id())
    assert world.refusal(post) == "wrong-issuer"
