# SPDX-License-Identifier: Apache-2.0
"""A whole node on loopback: the real engine, stores, application and server, in this process."""

import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from fieldpost.client.log import Log
from fieldpost.client.publisher import Accepted, submit_post
from fieldpost.client.transport import HttpClient
from fieldpost.metrics.prometheus import Metrics
from fieldpost.node.app import open_node
from fieldpost.node.config import Limits, NodeConfig
from fieldpost.node.server import Server
from fieldpost.posts.envelope import decode_post
from fieldpost.posts.permit import Permit, sign_permit
from fieldpost.records.identifiers import vendor_id
from fieldpost.records.maker import Role
from fieldpost.records.release import ReleaseRecord, decode_release_record
from fieldpost.suit.envelope import Envelope, manifest_digest, sign_manifest
from fieldpost.suit.manifest import Component, Manifest, encode_manifest
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.tlog.note import parse_vkey

NOW = 1_800_000_000
LIMITS = Limits(body_silence_s=1.0, body_s=2.0, drain_s=5, piece_bytes=64 * 1024)


@dataclass(slots=True)
class Running:
    """A node that serves, and a maker that posts to it."""

    url: str
    board: str
    http: HttpClient
    metrics: Metrics
    clock: list[int]

    def log(self) -> Log:
        match self.http.send("GET", "/v1/board").json():
            case {"origin": str(origin), "operators": [{"log_key": str(key)}, *_]}:
                return Log(self.http, origin=origin, keys=[parse_vkey(key)])
        raise AssertionError("the board view lacks its operator")

    def entries(self) -> list[bytes]:
        log = self.log()
        log.advance()
        return list(log.read_all())

    def world(self) -> MirroredBoard:
        return MirroredBoard(self.entries)

    def post(self, world: MirroredBoard, entry: bytes) -> Accepted:
        accepted = submit_post(self.http, entry)
        world.refresh()
        return accepted


@contextmanager
def running(
    data: Path, limits: Limits = LIMITS, origin: str | None = None, **settings: Any
) -> Iterator[Running]:
    """Open a node's data and serve it; the clock stands still until a test moves it."""
    clock = [NOW]
    config = NodeConfig(data=data, origin=origin, limits=limits, **settings)
    with open_node(config, clock=lambda: clock[0]) as node:
        ready = threading.Event()
        server = Server(node.app, listen=[("127.0.0.1", 0)], limits=limits, on_ready=ready.set)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert ready.wait(60)
            with HttpClient(server.url, timeout_s=60) as http:
                yield Running(server.url, node.board, http, node.metrics, clock)
        finally:
            server.stop()
            thread.join(timeout=60)


@dataclass(frozen=True, slots=True)
class Published:
    """A release on the board: its record, its image, and the envelope that its maker signed.

    `permit` is the maker's to send the image, for an hour.
    """

    record: ReleaseRecord
    image: bytes
    envelope: bytes
    permit: bytes


def with_class(node: Running) -> MirroredBoard:
    """A registered maker with the class `tracker`."""
    world = node.world()
    node.post(world, world.maker.registration())
    node.post(world, world.maker.class_set())
    return world


def publish(
    node: Running, world: MirroredBoard, sequence: int = 10, size: int = 1_000
) -> Published:
    """Publish a release of an image of `size` bytes, with a true manifest."""
    entry, published = release_of(world, sequence, size)
    node.post(world, entry)
    return published


def release_of(world: MirroredBoard, sequence: int, size: int) -> tuple[bytes, Published]:
    """The post that publishes such a release, and what it publishes."""
    maker = world.maker
    image = bytes(n * sequence % 251 for n in range(size))
    template = decode_release_record(decode_post(maker.release_publish(sequence)).statement.payload)
    digest = sha256(image).digest()
    component = Component((b"app",), digest, size)
    manifest = encode_manifest(
        Manifest(sequence, vendor_id(maker.id), template.class_id, (component,))
    )
    blocks = tuple(sign_manifest(manifest, signer) for signer in maker.quorum(Role.RELEASE))
    envelope = Envelope(manifest, blocks).encode()
    artifact = replace(template.artifacts[0], digest=digest, image=digest, size=size)
    entry = maker.release_publish(
        sequence,
        nonce=template.nonce,
        manifest=manifest_digest(manifest),
        envelope_bytes=len(envelope),
        artifacts=(artifact,),
    )
    record = decode_release_record(decode_post(entry).statement.payload)
    return entry, Published(record, image, envelope, permit_of(world, image))


def permit_of(world: MirroredBoard, data: bytes, **changes: Any) -> bytes:
    """A permit of the world's maker to send `data`; `changes` to it or to how it is signed."""
    signing: dict[str, Any] = {"maker": world.maker.id, "board": world.state.board}
    signing["signer"] = world.maker.quorum(Role.RELEASE)[0]
    signing |= {name: changes.pop(name) for name in list(changes) if name in signing}
    permit = Permit(digest=sha256(data).digest(), size=len(data), not_after=NOW + 3_600)
    return sign_permit(replace(permit, **changes), **signing)


def bearer(permit: bytes) -> dict[str, str]:
    """The header that shows a permit."""
    return {"Authorization": f"Bearer {urlsafe_b64encode(permit).rstrip(b'=').decode()}"}
