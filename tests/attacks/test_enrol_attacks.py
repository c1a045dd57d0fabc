# SPDX-License-Identifier: Apache-2.0
"""A stolen enrol key, such as a contract manufacturer's: what it can put on the board."""

from fieldpost.records import map_keys
from fieldpost.records.counters import ClassCounters
from fieldpost.records.maker import KeySet, Role, RoleKey, Scope
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.maker_posts import device_status, maker_set
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld

GHOSTS = b"\x66" * 32


def scoped(**scope: object) -> BoardWorld:
    """Classes `tracker` and `lock`; the enrol key has this scope."""
    world = BoardWorld()
    maker = world.maker
    limits = Scope(**scope)  # type: ignore[arg-type]
    keys = KeySet(1, tuple(RoleKey(key.public_key, limits) for key in maker.keys[Role.ENROL]))
    roles = {**maker.record().roles, Role.ENROL: keys}
    world.accept(maker.registration(roles=roles))
    world.accept(maker.class_set(), maker.class_set("lock"))
    world.accept(maker.lot_enrol(count=100))
    return world


def devices(world: BoardWorld, name: str = "tracker") -> int:
    value = world.value(map_keys.class_counters(world.maker.class_id(name)))
    assert value is not None
    return ClassCounters.decode(value).devices


def test_ghost_devices_beyond_the_order_are_not_enrolled() -> None:
    """The manufacturer was given 1,000 devices; what it enrols in all is counted per key."""
    world = scoped(devices=1_000)
    ghosts = world.maker.lot_enrol(count=901, root=GHOSTS)
    assert world.refusal(ghosts) == "scope"
    halves = world.maker.lot_enrol(count=450, root=GHOSTS), b"\x67" * 32
    world.accept(halves[0])
    assert world.refusal(world.maker.lot_enrol(count=451, root=halves[1])) == "scope"
    assert devices(world) == 550
    with without(Defence.SCOPE):
        world.accept(world.maker.lot_enrol(count=901, root=halves[1]))
    assert devices(world) == 1_451


def test_ghost_devices_of_another_class_are_not_enrolled() -> None:
    world = BoardWorld()
    world = scoped(classes=(world.maker.class_id("tracker"),))
    ghosts = world.maker.lot_enrol(name="lock", root=GHOSTS)
    assert world.refusal(ghosts) == "scope"
    assert devices(world, "lock") == 0
    with without(Defence.SCOPE):
        world.accept(ghosts)
    assert devices(world, "lock") == 100


def test_a_key_whose_time_is_over_enrols_nothing() -> None:
    world = scoped(not_after=BoardWorld().time + 600)
    world.time += 601
    ghosts = world.maker.lot_enrol(root=GHOSTS)
    assert world.refusal(ghosts) == "scope"
    with without(Defence.SCOPE):
        world.accept(ghosts)


def test_a_lot_that_exists_is_not_exchanged_for_another() -> None:
    """A lot's id follows from its content: ghosts need a lot of their own, for all to see."""
    world = scoped()
    maker = world.maker
    genuine = maker.lot_id()
    swapped = maker.lot_enrol(root=GHOSTS, id=genuine)
    assert world.refusal(swapped) == "wrong-lot-id"
    value = world.value(map_keys.lot(genuine))
    assert value is not None
    assert GHOSTS not in value


def test_within_its_scope_a_stolen_enrol_key_adds_ghosts_that_everybody_can_see() -> None:
    """What remains: a new lot, public, revocable, and no more once the key is gone."""
    world = scoped(devices=1_000)
    maker = world.maker
    world.accept(maker.lot_enrol(root=GHOSTS))
    ghosts = maker.lot_id(root=GHOSTS)
    assert world.value(map_keys.lot(ghosts)) is not None
    world.accept(device_status(maker, *((index, 1) for index in range(100)), lot=ghosts))
    fresh = DeterministicSigner(maker.keys[Role.ROOT][0].public_key.algorithm, "enrol/new")
    world.accept(maker_set(maker, keys={Role.ENROL: (1, [fresh])}))
    assert world.refusal(maker.lot_enrol(root=b"\x67" * 32)) == "unknown-key"
