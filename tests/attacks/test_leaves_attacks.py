# SPDX-License-Identifier: Apache-2.0
"""Leaves of lots, which anybody may send: they cost bounded disk, and no memory of their length."""

import asyncio
import tracemalloc
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any

from fieldpost import cbor
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.leaves import most_leaves_bytes
from fieldpost.identity.lot import LotTree
from fieldpost.keys import Algorithm
from fieldpost.node.app import Node, open_node
from fieldpost.node.config import Limits, NodeConfig
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.testing.signers import DeterministicSigner
from tests.unit.node.asked import Answered, Hold, ask, post, world_of
from tests.unit.node.running_node import NOW

MANY = 1_000_000
"""Devices of a lot of which the board knows the root, and nobody the leaves."""
ROOT = b"\x07" * 32
LEAF = b"\x58\x9f" + bytes(159)
# Eight at once, of four addresses, send 3 MiB each.
FLOOD_PIECES, FLOOD_BYTES = 48, 48 * 407 * len(LEAF)
CLIENTS = [f"203.0.113.{n // 2}" for n in range(8)]
PEAK = 16 * 2**20
SIGNERS = [DeterministicSigner(Algorithm.ESP256, f"device/{n}") for n in range(3)]

Scene = Callable[[Node, MirroredBoard], Coroutine[Any, Any, None]]


def play(data: Path, scene: Scene, limits: Limits | None = None) -> None:
    """A node in this process whose board has a maker with a class, and what happens to it."""
    config = NodeConfig(data=data, limits=limits or Limits())

    async def run(node: Node) -> None:
        world = world_of(node)
        await post(node, world, world.maker.registration())
        await post(node, world, world.maker.class_set())
        await scene(node, world)

    with open_node(config, clock=lambda: NOW) as node:
        asyncio.run(run(node))
    assert list((data / "leaves").iterdir()) == [], "what waited on the disk is gone"


async def enrol(node: Node, world: MirroredBoard, count: int, root: bytes) -> bytes:
    """Post a lot; its id."""
    await post(node, world, world.maker.lot_enrol(count=count, root=root))
    return world.maker.lot_id(count=count, root=root)


async def put(node: Node, lot: bytes, body: Iterable[bytes], **more: Any) -> Answered:
    headers = [(b"content-type", b"application/cbor"), *more.pop("headers", [])]
    target = f"/v1/lots/{lot.hex()}/leaves".encode()
    return await ask(node.app, "PUT", target, headers=headers, body=body, **more)


def garbage() -> Iterator[bytes]:
    """Leaves of the right form, each piece of them in memory of its own."""
    yield b"\x9a" + MANY.to_bytes(4, "big")
    for _ in range(FLOOD_PIECES):
        yield LEAF * 407


def small(world: MirroredBoard) -> tuple[bytes, bytes]:
    """The leaves of a lot of three, encoded, and their root."""
    class_id = world.maker.class_id("tracker")
    leaves = [DeviceLeaf(f"SN{n}", s.public_key, class_id).encode() for n, s in enumerate(SIGNERS)]
    return cbor.encode(leaves), LotTree.build(leaves).root


def test_many_strangers_at_once_cost_no_memory(tmp_path: Path) -> None:
    peaks: list[int] = []

    async def flood(node: Node, world: MirroredBoard) -> None:
        lot = await enrol(node, world, MANY, ROOT)
        tracemalloc.start()
        try:
            async with asyncio.TaskGroup() as group:
                holds = [Hold() for _ in CLIENTS]
                tasks = [
                    group.create_task(put(node, lot, garbage(), client=client, hold=hold))
                    for client, hold in zip(CLIENTS, holds, strict=True)
                ]
                for hold in holds:
                    await hold.reached.wait()
                for hold in holds:
                    hold.go.set()
            answers = [task.result() for task in tasks]
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert {answer.status for answer in answers} == {400}
        assert all(b"are missing" in answer.body for answer in answers)
        assert {answer.took for answer in answers} == {FLOOD_PIECES + 1}

    play(tmp_path / "data", flood)
    with without(Defence.LEAVES_ON_DISK):
        play(tmp_path / "control", flood)
    assert peaks[0] < PEAK < len(CLIENTS) * FLOOD_BYTES < peaks[1]


def test_a_small_lot_takes_few_bytes(tmp_path: Path) -> None:
    surplus = [bytes(1_000)] * 100
    most = most_leaves_bytes(3)

    async def send(node: Node, world: MirroredBoard, *, taken: int, status: int) -> None:
        data, root = small(world)
        lot = await enrol(node, world, 3, root)
        announced = [(b"content-length", b"100000")]
        answer = await put(node, lot, surplus)
        assert (answer.status, answer.took) == (status, taken)
        if status == 413:
            answer = await put(node, lot, surplus, headers=announced)
            assert (answer.status, answer.took) == (413, 0)
        assert (await put(node, lot, [data])).status == 204

    assert len(cbor.encode([LEAF[2:]] * 3)) == most
    play(tmp_path / "data", lambda n, w: send(n, w, taken=1, status=413))
    with without(Defence.LEAVES_OF_THE_LOT):
        play(tmp_path / "control", lambda n, w: send(n, w, taken=len(surplus), status=400))


def test_an_unknown_lot_is_refused_before_a_byte_is_read(tmp_path: Path) -> None:
    async def send(node: Node, _world: MirroredBoard) -> None:
        answer = await put(node, bytes(16), garbage())
        assert (answer.status, answer.took) == (404, 0)

    play(tmp_path / "data", send)


def test_one_address_does_not_keep_others_from_sending(tmp_path: Path) -> None:
    async def hold(node: Node, world: MirroredBoard) -> None:
        data, root = small(world)
        lot, holds = await enrol(node, world, 3, root), [Hold(), Hold()]
        async with asyncio.TaskGroup() as group:
            held = [group.create_task(put(node, lot, [data], hold=hold)) for hold in holds]
            for hold in holds:
                await hold.reached.wait()
            refused = await put(node, lot, [data])
            assert (refused.status, refused.took) == (503, 0)
            assert b"retry-after" in refused.headers
            assert (await put(node, lot, [data], client="198.51.100.7")).status == 204
            for hold in holds:
                hold.go.set()
        assert [task.result().status for task in held] == [204, 204]
        assert (await put(node, lot, [data])).status == 204

    play(tmp_path / "data", hold)


def test_the_reserve_of_the_disk_is_kept(tmp_path: Path) -> None:
    limits = Limits(reserve_bytes=2**49)

    async def send(node: Node, world: MirroredBoard, *, status: int, taken: int) -> None:
        data, root = small(world)
        answer = await put(node, await enrol(node, world, 3, root), [data])
        assert (answer.status, answer.took) == (status, taken)

    play(tmp_path / "data", lambda n, w: send(n, w, status=507, taken=0), limits)
    with without(Defence.LEAVES_RESERVE):
        play(tmp_path / "control", lambda n, w: send(n, w, status=204, taken=1), limits)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "data" / "leaves" / "0123456789abcdef"
    left.parent.mkdir(parents=True)
    left.write_bytes(bytes(1_000))

    async def nothing(_node: Node, _world: MirroredBoard) -> None:
        assert not left.exists()

    play(tmp_path / "data", nothing)
