# SPDX-License-Identifier: Apache-2.0
"""A post of every kind, and the state of the board that accepts it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from fieldpost.ledger.batch import LedgerState
from fieldpost.records.maker import Role
from fieldpost.testing import maker_posts
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.operator_posts import blob_gone, board_set, maker_attest
from fieldpost.testing.world import BoardWorld


@dataclass(frozen=True, slots=True)
class Live:
    """An entry that `state` accepts at `time`; the genesis of that board is no such."""

    entry: bytes
    state: LedgerState
    time: int


_POSTS: Final[dict[str, Callable[[BoardWorld], bytes]]] = {
    "genesis": lambda world: world.entries[0],
    "board.set": lambda world: board_set(world, epoch_s=30),
    "maker.register": lambda world: MakerActor(world, "newcomer").registration(),
    "maker.attest": lambda world: maker_attest(world, world.maker, "acme.example"),
    "maker.set": lambda world: maker_posts.maker_set(world.maker, contact="security@acme.example"),
    "class.set": lambda world: world.maker.class_set("second"),
    "release.publish": lambda world: world.maker.release_publish(12),
    "rollout.set": lambda world: world.maker.rollout_set(world.maker.offer(10)),
    "release.floor": lambda world: maker_posts.release_floor(world.maker, 10),
    "release.sign": lambda world: maker_posts.release_sign(
        world.maker, 11, world.maker.quorum(Role.RELEASE)
    ),
    "release.withdraw": lambda world: maker_posts.release_withdraw(world.maker, 11),
    "advisory.publish": lambda world: maker_posts.advisory_publish(world.maker),
    "lot.enrol": lambda world: world.maker.lot_enrol(name="tracker", root=b"\x22" * 32),
    "device.status": lambda world: maker_posts.device_status(world.maker, (3, 2)),
    "fleet.summary": lambda world: maker_posts.fleet_summary(world.maker, 1, 2),
    "blob.gone": blob_gone,
}


@cache
def every_kind() -> dict[str, Live]:
    """By kind. Each is accepted by a board that accepted those before it."""
    world = BoardWorld.with_releases(10, 11, operators=4, witnesses=1)
    found = {}
    for kind, make in _POSTS.items():
        state, entry = world.state, make(world)
        if kind != "genesis":
            world.accept(entry)
        found[kind] = Live(entry, state, world.time)
    return found
