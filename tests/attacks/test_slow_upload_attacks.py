# SPDX-License-Identifier: Apache-2.0
"""Uploads that drip or swell: each part may be in time and small, the whole has a limit.

The loop's clock moves with each piece that a client sends and not by itself: hours cost nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from fieldpost.node.app import Node, open_node
from fieldpost.node.config import Limits, NodeConfig
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.mirror import MirroredBoard
from tests.attacks.test_leaves_attacks import MANY, enrol, put, small
from tests.unit.node.asked import Answered, ask, post, world_of
from tests.unit.node.running_node import NOW, Published, bearer, permit_of, release_of

PAUSE_S = 10.0
"""Between two pieces: less than the silence that is allowed."""
LIMITS = Limits(body_silence_s=15.0, body_s=60.0, upload_s=1_000.0, piece_bytes=500)

LIMITS_OF_DOCUMENTS = Limits(document_bytes=1_000)

Scene = Callable[[Node, MirroredBoard], Coroutine[Any, Any, None]]


class Loop(asyncio.SelectorEventLoop):
    """A loop whose clock is moved by who sends."""

    now = 0.0

    def time(self) -> float:
        return self.now


def play(data: Path, scene: Scene, limits: Limits = LIMITS) -> None:
    """A node in this process whose board has a maker with a class, and what happens to it."""

    async def run(node: Node) -> None:
        world = world_of(node)
        await post(node, world, world.maker.registration())
        await post(node, world, world.maker.class_set())
        await scene(node, world)

    with (
        open_node(NodeConfig(data=data, limits=limits), clock=lambda: NOW) as node,
        asyncio.Runner(loop_factory=Loop) as runner,
    ):
        runner.run(run(node))


def drip(data: bytes) -> Iterator[bytes]:
    """A byte at a time, each after a pause."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    for byte in data:
        loop.now += PAUSE_S
        yield bytes([byte])


async def published(node: Node, world: MirroredBoard, size: int = 200) -> Published:
    entry, release = release_of(world, 10, size)
    await post(node, world, entry)
    return release


async def send(
    node: Node, blob: bytes, permit: bytes, body: Iterable[bytes], at: int = 0
) -> Answered:
    """Send a piece of a blob, the last one if it is not the first."""
    headers = [
        (b"content-type", b"application/partial-upload"),
        (b"upload-offset", str(at).encode()),
        (b"upload-complete", b"?1" if at else b"?0"),
        *shown(permit),
    ]
    return await ask(node.app, "PATCH", path_of(blob), headers=headers, body=body)


async def offset(node: Node, release: Published) -> int:
    """How much of the image is kept."""
    path = path_of(release.image)
    answer = await ask(node.app, "HEAD", path, headers=shown(release.permit))
    return int(answer.headers[b"upload-offset"])


def path_of(blob: bytes) -> bytes:
    return f"/v1/blobs/sha256/{sha256(blob).hexdigest()}".encode()


def shown(permit: bytes) -> list[tuple[bytes, bytes]]:
    ((_, token),) = bearer(permit).items()
    return [(b"authorization", token.encode())]


# --- time ---


def test_an_upload_that_drips_ends_after_its_time_and_goes_on_from_there(tmp_path: Path) -> None:
    async def attack(node: Node, world: MirroredBoard) -> None:
        release = await published(node, world)
        answer = await send(node, release.image, release.permit, drip(release.image))
        assert (answer.status, answer.took) == (408, 100)
        kept = await offset(node, release)
        assert kept == 99, "what came in time is kept"
        assert (
            await send(node, release.image, release.permit, [release.image[kept:]], kept)
        ).status == 204

    play(tmp_path / "data", attack)


def test_control_without_that_time_it_drips_on(tmp_path: Path) -> None:
    async def attack(node: Node, world: MirroredBoard) -> None:
        release = await published(node, world)
        assert (await send(node, release.image, release.permit, drip(release.image))).status == 204

    with without(Defence.UPLOAD_TIME):
        play(tmp_path / "data", attack)


def test_leaves_that_drip_end_after_a_time_for_their_lot(tmp_path: Path) -> None:
    """A minute, and a second for each kilobyte that a lot of so many may have."""

    async def attack(node: Node, world: MirroredBoard) -> None:
        data, root = small(world)
        lot = await enrol(node, world, 3, root)
        answer = await put(node, lot, drip(data))
        assert (answer.status, answer.took) == (408, 7)
        assert (await put(node, lot, [data])).status == 204

    play(tmp_path / "data", attack)


def test_leaves_of_a_large_lot_have_more_time_and_never_more_than_an_upload(tmp_path: Path) -> None:
    """A million leaves of up to 159 bytes would have two days."""

    async def attack(node: Node, world: MirroredBoard) -> None:
        lot = await enrol(node, world, MANY, bytes(32))
        answer = await put(node, lot, drip(bytes(200)))
        assert (answer.status, answer.took) == (408, 100)

    play(tmp_path / "data", attack)


def test_control_without_a_time_leaves_drip_on(tmp_path: Path) -> None:
    async def attack(node: Node, world: MirroredBoard) -> None:
        data, root = small(world)
        assert (await put(node, await enrol(node, world, 3, root), drip(data))).status == 204

    with without(Defence.LEAVES_TIME):
        play(tmp_path / "data", attack)


# --- size ---


async def swell(node: Node, world: MirroredBoard, *, size: int) -> tuple[Answered, Answered]:
    """Send more than is taken, without and with saying so before."""
    release = await published(node, world, size)
    body = [bytes(100)] * 10
    first = await send(node, release.image, release.permit, body)
    return first, await send(node, release.image, release.permit, body, await offset(node, release))


def test_no_more_of_a_piece_is_taken_than_a_piece_may_have(tmp_path: Path) -> None:
    async def attack(node: Node, world: MirroredBoard) -> None:
        answer, _ = await swell(node, world, size=5_000)
        assert (answer.status, answer.took) == (413, 6)
        assert b"more than 500 bytes" in answer.body

    play(tmp_path / "data", attack)


def test_no_more_is_taken_than_the_image_has(tmp_path: Path) -> None:
    async def attack(node: Node, world: MirroredBoard) -> None:
        answer, again = await swell(node, world, size=250)
        assert (answer.status, answer.took) == (413, 3)
        assert (again.status, again.took) == (413, 1), "50 bytes are missing"

    play(tmp_path / "data", attack)


def test_control_without_those_limits_a_piece_has_any_size(tmp_path: Path) -> None:
    async def attack(node: Node, world: MirroredBoard) -> None:
        answer, _ = await swell(node, world, size=5_000)
        assert (answer.status, answer.took) == (204, 10)

    with without(Defence.PIECE_BYTES):
        play(tmp_path / "data", attack)


async def send_document(node: Node, world: MirroredBoard, size: int) -> Answered:
    """Begin to send an SBOM, of which no release says how long it is: the permit says it."""
    sbom = bytes(size)
    await post(node, world, world.maker.release_publish(10, sbom=sha256(sbom).digest()))
    return await send(node, sbom, permit_of(world, sbom), [sbom[:100]])


def test_no_document_is_taken_that_is_longer_than_documents_are(tmp_path: Path) -> None:
    async def attack(node: Node, world: MirroredBoard) -> None:
        answer = await send_document(node, world, 1_001)
        assert (answer.status, answer.took) == (413, 0)
        assert b"at most 1000 of one" in answer.body

    play(tmp_path / "data", attack, LIMITS_OF_DOCUMENTS)


def test_a_document_as_long_as_documents_may_be_is_taken(tmp_path: Path) -> None:
    async def send_it(node: Node, world: MirroredBoard) -> None:
        assert (await send_document(node, world, 1_000)).status == 204

    play(tmp_path / "data", send_it, LIMITS_OF_DOCUMENTS)


def test_control_without_limits_of_blobs_a_document_has_any_size(tmp_path: Path) -> None:
    async def attack(node: Node, world: MirroredBoard) -> None:
        assert (await send_document(node, world, 1_001)).status == 204

    with without(Defence.BLOB_BYTES):
        play(tmp_path / "data", attack, LIMITS_OF_DOCUMENTS)
