# SPDX-License-Identifier: Apache-2.0
"""Clients that ask and do not read: they are let go, and what waits for them is bounded."""

import asyncio
import logging
import socket
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.server import ServerState

from fieldpost.node.api.blobs import CHUNK_BYTES
from fieldpost.node.app import open_node
from fieldpost.node.config import MIB, Limits, LogConfig, NodeConfig
from fieldpost.node.server import server_config
from fieldpost.testing.defences import Defence, without
from tests.unit.node.running_node import LIMITS, NOW, Running, bearer, publish, running, with_class

IMAGE_BYTES = 6 * MIB
"""Of several pieces, and larger than what the system's own buffers take."""


def connect(node: Running) -> socket.socket:
    """A client whose own buffer is small."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", int(node.url.rpartition(":")[2])))
    return connection


def image_path(node: Running) -> str:
    """An image that the node keeps."""
    release = publish(node, with_class(node), size=IMAGE_BYTES)
    path = f"/v1/blobs/sha256/{sha256(release.image).hexdigest()}"
    node.http.send(
        "PATCH",
        path,
        release.image,
        content_type="application/partial-upload",
        headers={"Upload-Offset": "0", "Upload-Complete": "?1", **bearer(release.permit)},
    )
    return path


# --- one of them, on a real socket ---


def test_a_client_that_reads_nothing_is_let_go(tmp_path: Path) -> None:
    """It sends until the node has had enough, which ends its connection and nobody else's."""
    limits = replace(LIMITS, stall_s=0.2, keep_alive_s=600)
    with running(tmp_path / "data", limits) as node, closing(connect(node)) as connection:
        with suppress(ConnectionResetError, BrokenPipeError):
            while True:
                connection.sendall(b"GET /metrics-of-nobody HTTP/1.1\r\nHost: x\r\n\r\n" * 30)
        assert node.http.fetch("/healthz") == b"ok\n"


READERS = replace(LIMITS, stall_s=0.1, keep_alive_s=1, piece_bytes=2**24)


def ask_for(connection: socket.socket, path: str) -> None:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def read_all(connection: socket.socket) -> int:
    """How many bytes are still to be had, of an image at the most."""
    count = 0
    with suppress(ConnectionResetError):
        while count < IMAGE_BYTES and (piece := connection.recv(65_536)):
            count += len(piece)
    return count


def test_who_takes_nothing_of_an_image_is_let_go_and_is_no_fault_of_the_node(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody can do it, so it must not fill the log with faults, nor wake an operator."""
    caplog.set_level(logging.INFO)
    log = LogConfig(access=True)
    with running(tmp_path / "data", READERS, log=log) as node:
        path = image_path(node)
        with closing(connect(node)) as slow:
            ask_for(slow, path)
            while not any(is_end_of_image(record) for record in caplog.records):
                assert node.http.fetch("/healthz")
            assert read_all(slow) < IMAGE_BYTES
        assert waiting_bytes(node) == 0
        assert len(node.http.fetch(path, most_bytes=IMAGE_BYTES)) == IMAGE_BYTES
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_control_where_nobody_looks_at_readers_an_image_waits_for_as_long_as_they_like(
    tmp_path: Path,
) -> None:
    """While an idle connection comes, is answered and ends after a second of it: ten looks."""
    with (
        without(Defence.READERS_LOOKED_AT),
        running(tmp_path / "data", READERS) as node,
    ):
        path = image_path(node)
        with closing(connect(node)) as slow:
            ask_for(slow, path)
            while not waiting_bytes(node):
                assert node.http.fetch("/healthz")
            with closing(connect(node)) as idle:
                ask_for(idle, "/healthz")
                assert read_all(idle)
            assert waiting_bytes(node)
            assert read_all(slow) >= IMAGE_BYTES


def waiting_bytes(node: Running) -> int:
    """What the node says is waiting for slow clients."""
    name = "fieldpost_unsent_bytes "
    (line,) = (row for row in node.metrics.render().splitlines() if row.startswith(name))
    return int(float(line.removeprefix(name)))


def is_end_of_image(record: logging.LogRecord) -> bool:
    """Whether a line of the log says that an image is no longer being sent."""
    facts = getattr(record, "facts", {})
    return (facts.get("noun"), facts.get("method")) == ("blobs", "GET")


# --- many of them, on the server's own protocol ---

ROOM = Limits(unsent_bytes=4 * MIB, connections=32)
BUNDLE = bytes(512 * 1024)


class Slow(asyncio.Transport):
    """A client whose system has no buffers, and who takes nothing until it is told to."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 4711), "sockname": ("127.0.0.1", 80)})
        self.protocol: Any = None
        self.moved = asyncio.Event()
        self.waiting = bytearray()
        self.taken = bytearray()
        self.is_over = False
        self._high = 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See asyncio."""
        assert high is not None
        self._high = high

    def get_write_buffer_size(self) -> int:
        """See asyncio."""
        return len(self.waiting)

    @property
    def is_full(self) -> bool:
        """Whether the server was told that too much waits."""
        return len(self.waiting) > self._high

    def write(self, data: Any) -> None:
        """See asyncio."""
        was_full = self.is_full
        self.waiting += data
        self.moved.set()
        if self.is_full and not was_full:
            self.protocol.pause_writing()

    def take(self) -> None:
        """Take all that waits."""
        was_full = self.is_full
        self.taken += self.waiting
        self.waiting.clear()
        if was_full:
            self.protocol.resume_writing()

    def is_closing(self) -> bool:
        """See asyncio."""
        return self.is_over

    def close(self) -> None:
        """See asyncio."""
        if not self.is_over:
            self.is_over = True
            self.waiting.clear()
            self.moved.set()
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        """See asyncio."""
        self.close()

    def pause_reading(self) -> None:
        """See asyncio: it asks no more."""

    def resume_reading(self) -> None:
        """See asyncio."""


class Served:
    """An application behind the server's protocol, on the running loop."""

    def __init__(self, app: Starlette) -> None:
        self._config = server_config(app, ROOM, places=ROOM.connections)
        self._config.load()
        self._state = ServerState()
        self._state.default_headers = self._config.encoded_headers

    def ask(self, path: str, address: str) -> Slow:
        """A client there asks for this."""
        transport, kind = Slow(address), self._config.http_protocol_class
        made: Any = kind
        protocol = made(config=self._config, server_state=self._state, app_state={})
        transport.protocol = protocol
        protocol.connection_made(transport)
        protocol.data_received(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return transport


async def until_stuck(clients: Iterable[Slow]) -> None:
    """Until nothing goes on for any of them unless it takes something, or all is written."""
    for client in clients:
        while not (client.is_full or client.is_over or client.protocol.cycle.response_complete):
            client.moved.clear()
            await asyncio.wait_for(client.moved.wait(), 60)
    await asyncio.sleep(0)  # who must leave goes in the loop's next turn


def body(client: Slow) -> bytes:
    return bytes(client.taken).partition(b"\r\n\r\n")[2]


async def ask_for_bundles() -> tuple[Slow, list[Slow]]:
    """A device and then a flood ask for answers in one piece: the device, and who flooded."""

    async def bundle(_request: Request) -> Response:
        return Response(BUNDLE)

    served = Served(Starlette(routes=[Route("/bundle", bundle)]))
    device = served.ask("/bundle", "198.51.100.7")
    await until_stuck([device])
    flood = [served.ask("/bundle", f"203.0.113.{number % 2}") for number in range(20)]
    await until_stuck(flood)
    return device, flood


def test_answers_that_nobody_takes_hold_bounded_memory_and_the_greediest_pay() -> None:
    async def attack() -> None:
        device, flood = await ask_for_bundles()
        assert sum(len(client.waiting) for client in [device, *flood]) <= ROOM.unsent_bytes
        assert [client.is_over for client in flood] == [True] * 14 + [False] * 6
        device.take()
        assert body(device) == BUNDLE

    asyncio.run(attack())


def test_control_without_room_for_answers_they_fill_the_memory() -> None:
    async def attack() -> None:
        device, flood = await ask_for_bundles()
        assert sum(len(client.waiting) for client in [device, *flood]) > 2 * ROOM.unsent_bytes
        assert not any(client.is_over for client in flood)

    with without(Defence.ROOM_FOR_ANSWERS):
        asyncio.run(attack())


async def ask_for_images(data: Path) -> tuple[list[Slow], bytes, int]:
    """A fleet asks for an image at once, and takes nothing for a while.

    The fleet, the image, and how many bytes of it waited in memory.
    """
    image = bytes(range(256)) * (2 * MIB // 256)
    digest = sha256(image)
    with open_node(NodeConfig(data=data, limits=ROOM), clock=lambda: NOW) as node:
        blobs = node.app.state.node.blobs
        blobs.upload(digest.digest(), 0, [image], size=len(image), maker=b"m" * 16)
        blobs.finish(digest.digest(), size=len(image), maker=b"m" * 16)
        served, path = Served(node.app), f"/v1/blobs/sha256/{digest.hexdigest()}"
        read = [0]

        def reading(*asked: Any) -> bytes:
            data: bytes = read_blob(*asked)
            read[0] += len(data)
            return data

        read_blob, blobs.read = blobs.read, reading
        fleet = [served.ask(path, f"198.51.100.{n}") for n in range(ROOM.connections)]
        await until_stuck(fleet)
        (held,) = read
        for client in fleet:
            while not client.is_over and len(body(client)) < len(image):
                client.take()
                await until_stuck([client])
        return fleet, image, held


def test_a_fleet_on_slow_lines_holds_bounded_memory_and_has_its_image(tmp_path: Path) -> None:
    fleet, image, held = asyncio.run(ask_for_images(tmp_path / "data"))
    assert CHUNK_BYTES < held <= ROOM.unsent_bytes
    assert all(body(client) == image for client in fleet)


def test_control_without_short_pieces_most_of_a_fleet_is_ended(tmp_path: Path) -> None:
    with without(Defence.SHORT_PIECES):
        fleet, image, _ = asyncio.run(ask_for_images(tmp_path / "data"))
    assert sum(body(client) == image for client in fleet) < len(fleet) // 2


def test_control_without_room_either_a_fleet_fills_the_memory(tmp_path: Path) -> None:
    with without(Defence.SHORT_PIECES, Defence.ROOM_FOR_ANSWERS):
        _, _, held = asyncio.run(ask_for_images(tmp_path / "data"))
    assert held > 3 * ROOM.unsent_bytes
