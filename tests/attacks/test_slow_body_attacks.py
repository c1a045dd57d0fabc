# SPDX-License-Identifier: Apache-2.0
"""Clients that send long bodies and never end them: what is kept of them is bounded."""

import socket
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from fieldpost.client.publisher import submit_post
from fieldpost.node.config import MIB
from fieldpost.testing.defences import Defence, without
from tests.attacks.test_load_attacks import connect
from tests.unit.node.running_node import LIMITS, Running, running
from tests.unit.node.watched_node import until

ROOM = replace(LIMITS, bodies_bytes=8 * MIB, body_silence_s=600.0, body_s=600.0)
SENT_BYTES = 2_000_000
FLOOD = [f"127.0.0.{2 + number // 4}" for number in range(12)]
"""Four connections from each of three addresses: three times what there is room for."""
BOTH_WAYS = pytest.mark.parametrize("path", ["/v1/posts", "/v1/posts?long-way"])


def begin(
    node: Running, stack: ExitStack, source: str, path: str, body: bytes, *, more: int
) -> socket.socket:
    """A connection that sends so much of a body, and announces so many bytes more."""
    connection = stack.enter_context(closing(connect(node, source)))
    connection.settimeout(60)
    kind = "application/cbor-seq" if len(body) == SENT_BYTES else "application/cose"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
    # A body is refused in the middle of it: then the rest is not read.
    with suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(f"{head}Content-Length: {len(body) + more}\r\n\r\n".encode() + body)
    return connection


def reading(node: Running, name: str) -> int:
    """What the node says of its bodies."""
    (line,) = (row for row in node.metrics.render().splitlines() if row.startswith(f"{name} "))
    return int(float(line.partition(" ")[2]))


def attack(node: Running, stack: ExitStack, path: str) -> list[socket.socket]:
    """The flood, whose first body is all at the node before the others come."""
    before, flood = reading(node, "fieldpost_bodies_bytes"), []
    for source in FLOOD:
        flood.append(begin(node, stack, source, path, bytes(SENT_BYTES), more=4_000_000))
        if len(flood) == 1:
            until(lambda: reading(node, "fieldpost_bodies_bytes") == before + SENT_BYTES)
    return flood


@BOTH_WAYS
def test_bodies_that_never_end_hold_bounded_memory_and_the_greediest_pay(
    tmp_path: Path, path: str
) -> None:
    with running(tmp_path / "data", ROOM, trusted_proxies=()) as node, ExitStack() as stack:
        maker = node.world().maker
        entry = maker.registration()
        slow = begin(node, stack, "127.0.0.9", path, entry[:-1], more=1)
        until(lambda: reading(node, "fieldpost_bodies_bytes") == len(entry) - 1)
        first, *_ = attack(node, stack, path)
        # Four of the flood have room beside it, and eight have not.
        until(lambda: reading(node, "fieldpost_bodies_ended_total") == 8)
        until(lambda: reading(node, "fieldpost_bodies_bytes") == 4 * SENT_BYTES + len(entry) - 1)
        told = first.recv(65_536)
        assert told.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 5\r\n" in told.lower()
        slow.sendall(entry[-1:])
        assert slow.recv(65_536).startswith(b"HTTP/1.1 200 "), "who holds less is not ended"
        submit_post(node.http, honest := maker.class_set())
        assert node.entries().count(honest) == 1


@BOTH_WAYS
def test_control_without_room_for_bodies_they_fill_the_memory(tmp_path: Path, path: str) -> None:
    with (
        without(Defence.ROOM_FOR_BODIES),
        running(tmp_path / "data", ROOM, trusted_proxies=()) as node,
        ExitStack() as stack,
    ):
        attack(node, stack, path)
        until(lambda: reading(node, "fieldpost_bodies_bytes") == len(FLOOD) * SENT_BYTES)
        assert len(FLOOD) * SENT_BYTES > 2 * ROOM.bodies_bytes
