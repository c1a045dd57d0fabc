# SPDX-License-Identifier: Apache-2.0
"""Limits of a node that no other test is about: each holds, and says what to do."""

import asyncio
import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.types import Message

from fieldpost import cbor
from fieldpost.client.publisher import submit_post, upload_manifest
from fieldpost.durable import DiskFull
from fieldpost.engines import head_reserve
from fieldpost.errors import Conflict, Malformed, Unavailable
from fieldpost.node import uploads
from fieldpost.node.app import open_node
from fieldpost.node.catalog import Catalog
from fieldpost.node.config import Limits, NodeConfig
from fieldpost.node.spool import Spool
from fieldpost.node.uploads import Uploads
from fieldpost.store.blobs import FileBlobs
from fieldpost.testing import maker_posts
from tests.unit.node.running_node import LIMITS, NOW, publish, running, with_class
from tests.unit.node.test_node_fleet import enrol, put_leaves, send_report


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


# --- times ---


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Keep a node from writing to one of its databases meanwhile, as a slow disk does."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def until_taken(send: Callable[[], object]) -> None:
    """Send the same again, as a client does that was told to."""
    pause = threading.Event()
    for _ in range(1_200):
        try:
            send()
        except Unavailable:
            pause.wait(0.05)
            continue
        return
    raise AssertionError("it was never taken")


def test_who_posts_is_answered_in_time_and_the_same_bytes_have_one_place(folder: Path) -> None:
    with running(folder, replace(LIMITS, commit_s=0.1)) as node:
        entry = node.world().maker.registration()
        with (
            held(folder / "state.db"),
            pytest.raises(Unavailable, match="same bytes again") as late,
        ):
            submit_post(node.http, entry)
        assert late.value.retry_after_s
        until_taken(lambda: submit_post(node.http, entry))
        assert node.entries().count(entry) == 1


def test_a_device_that_reports_is_answered_in_time_and_may_send_the_same_again(
    folder: Path,
) -> None:
    with running(folder) as node:
        world = with_class(node)
        put_leaves(node, *enrol(node, world))
    with running(folder, replace(LIMITS, commit_s=0.1)) as node:
        with held(folder / "fleet.db"), pytest.raises(Unavailable, match="same bytes again"):
            send_report(node)
        until_taken(lambda: send_report(node))
        summary = node.http.send("GET", f"/v1/fleet/{world.maker.class_id('tracker').hex()}").json()
        assert isinstance(summary, dict)
        assert summary["never_seen"] == 2


def test_a_short_body_that_stops_is_answered_long_before_its_total(folder: Path) -> None:
    limits = replace(LIMITS, body_silence_s=0.2, body_s=600.0)
    with running(folder, limits) as node:
        port = int(node.url.rpartition(":")[2])
        with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as stopped:
            stopped.sendall(b"POST /v1/posts HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n")
            stopped.sendall(b"Content-Type: application/cose\r\n\r\nhalf")
            assert stopped.recv(65_536).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_ends_after_its_time(folder: Path) -> None:
    with running(folder, replace(LIMITS, keep_alive_s=1)) as node:
        port = int(node.url.rpartition(":")[2])
        with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as idle:
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while piece := idle.recv(4_096):
                answer += piece
        assert answer.endswith(b"ok\n")


def test_a_client_that_takes_a_piece_of_an_image_slowly_gets_the_rest(folder: Path) -> None:
    """How much it must take is `least_bytes_per_s`, whatever the size of a piece."""
    limits = replace(LIMITS, stall_s=0.1, piece_bytes=2**24)
    with running(folder, limits) as node:
        release = publish(node, with_class(node), size=2**20)
        digest = sha256(release.image)
    FileBlobs(folder / "blobs").upload(
        digest.digest(), 0, [release.image], size=len(release.image), maker=b"m" * 16
    )
    FileBlobs(folder / "blobs").finish(digest.digest(), size=len(release.image), maker=b"m" * 16)
    taken: list[Message] = []

    async def take(app: Callable[..., object]) -> None:
        loop, slow = asyncio.get_running_loop(), asyncio.Event()

        async def send(message: Message) -> None:
            if message.get("body") and not slow.is_set():
                loop.call_later(5 * limits.stall_s, slow.set)
                await slow.wait()
            taken.append(message)

        async def receive() -> Message:
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

        path = f"/v1/blobs/sha256/{digest.hexdigest()}"
        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode()}
        scope |= {"query_string": b"", "headers": [], "client": ("203.0.113.9", 1)}
        await app(scope, receive, send)  # type: ignore[misc]

    with open_node(NodeConfig(data=folder, limits=limits), clock=lambda: NOW) as opened:
        asyncio.run(take(opened.app))
    assert b"".join(message.get("body", b"") for message in taken) == release.image


# --- counts ---


def test_one_maker_has_only_so_many_uploads_and_leaves_room_for_others(folder: Path) -> None:
    folder.mkdir()
    catalog = Catalog(folder / "catalog.db", lambda _start, _end: (), board="b", size=0)
    limits = Limits(uploads_at_once=3, uploads_per_maker=2)
    some = Uploads(FileBlobs(folder), catalog, limits=limits, root=folder)
    with closing(catalog), ExitStack() as stack:
        stack.enter_context(some.running(b"1", b"greedy"))
        stack.enter_context(some.running(b"2", b"greedy"))
        with pytest.raises(Unavailable, match="of this maker") as refused:
            stack.enter_context(some.running(b"3", b"greedy"))
        assert refused.value.retry_after_s
        stack.enter_context(some.running(b"3", b"another"))
        with pytest.raises(Unavailable, match="too many uploads at once"):
            stack.enter_context(some.running(b"4", b"third"))
        stack.close()
        stack.enter_context(some.running(b"4", b"third"))


def test_a_maker_does_not_send_one_blob_twice_at_once(folder: Path) -> None:
    folder.mkdir()
    catalog = Catalog(folder / "catalog.db", lambda _start, _end: (), board="b", size=0)
    some = Uploads(FileBlobs(folder), catalog, limits=Limits(), root=folder)
    with closing(catalog), some.running(b"1", b"maker"):
        with pytest.raises(Conflict, match="ask again with HEAD"), some.running(b"1", b"maker"):
            pass
        with some.running(b"1", b"another"):
            pass


def test_only_so_many_lots_are_taken_at_once(folder: Path) -> None:
    spool = Spool(folder, Limits(lots_at_once=2, lots_per_client=1))
    with ExitStack() as stack:
        stack.enter_context(spool.admitted("a"))
        stack.enter_context(spool.admitted("b"))
        with pytest.raises(Unavailable, match="too many lots are being sent at once"):
            stack.enter_context(spool.admitted("c"))
        stack.close()
        stack.enter_context(spool.admitted("c"))


# --- sizes ---


def test_leaves_that_wait_on_the_disk_leave_its_reserve_when_they_begin_and_when_they_grow(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [10_000]
    monkeypatch.setattr(uploads, "free_bytes", lambda _: free[0])
    spool = Spool(folder, Limits(reserve_bytes=9_000))
    with pytest.raises(DiskFull, match="of its disk free"):
        spool.begin(2_000)
    spooled = spool.begin(500)
    spooled.append(b"x" * 400)
    free[0] = 9_100
    with pytest.raises(DiskFull, match="of its disk free"):
        spooled.append(b"x" * 101)
    spooled.append(b"x" * 100)
    spooled.discard()
    assert list(folder.iterdir()) == []


def test_while_the_room_for_heads_is_not_whole_no_post_and_no_report_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(head_reserve, "free_bytes", lambda _: 0)
        with running(folder) as node:
            entry = node.world().maker.registration()
            for send in (lambda: submit_post(node.http, entry), lambda: send_report(node)):
                with pytest.raises(Unavailable, match="kept for heads") as refused:
                    send()
                assert refused.value.retry_after_s
            status, problem = raw_post(node.url, entry)
            assert (status, problem["title"]) == (507, "The disk is full")
            with pytest.raises(Unavailable, match="kept for heads"):
                node.http.fetch("/readyz", accept="application/json")
            assert "fieldpost_head_reserve_bytes 0\n" in node.metrics.render()
            assert len(node.entries()) == 2, "what is there is served"
    with running(folder) as node:
        submit_post(node.http, entry)
        assert f"fieldpost_head_reserve_bytes {4 * 2**20}\n" in node.metrics.render()


def raw_post(url: str, entry: bytes) -> tuple[int, dict[str, object]]:
    """Status and problem document, as any program sees them."""
    address = urlsplit(url)
    with closing(HTTPConnection(address.hostname or "", address.port, timeout=60)) as line:
        line.request("POST", "/v1/posts", entry, {"Content-Type": "application/cose"})
        answer = line.getresponse()
        return answer.status, json.loads(answer.read())


def test_a_manifest_a_report_and_leaves_above_their_limits_are_refused(folder: Path) -> None:
    limits = replace(LIMITS, manifest_bytes=100, lot_bytes=101, report_bytes=102)
    with running(folder, limits) as node:
        world = with_class(node)
        release = publish(node, world)
        with pytest.raises(Malformed, match="at most 100 are taken"):
            upload_manifest(node.http, release.envelope, digest=release.record.manifest)
        lot, leaves = enrol(node, world)
        with pytest.raises(Malformed, match="at most 101 are taken"):
            put_leaves(node, lot, leaves)
        with pytest.raises(Malformed, match="at most 102 are taken"):
            send_report(node)


def test_a_chain_of_links_comes_in_answers_of_bounded_length(folder: Path) -> None:
    """A node's setting holds a whole link; one that nobody can set shows it with short ones."""
    limits = replace(LIMITS)
    with running(folder, limits) as node:
        world = with_class(node)
        for number in range(3):
            node.post(world, maker_posts.maker_set(world.maker, contact=f"{number}@acme.example"))
        path = f"/v1/makers/{world.maker.id.hex()}/links?since=-1"

        def links() -> tuple[bytes, ...]:
            return cbor.decode_byte_strings(node.http.fetch(path), most=9)

        chain = links()
        assert len(chain) == 4, "all of them, within the limit that a node has"
        object.__setattr__(limits, "links_bytes", len(chain[0]) + len(chain[1]))
        assert links() == chain[:2]


def test_the_boards_chain_has_the_same_limit(folder: Path) -> None:
    asked: list[int] = []
    with open_node(NodeConfig(data=folder, limits=LIMITS), clock=lambda: NOW) as node:
        service = node.app.state.node
        engine = service._engine

        class Heard:
            def links(self, key: bytes, since: int, *, most_bytes: int) -> list[bytes]:
                asked.append(most_bytes)
                found: list[bytes] = engine.links(key, since, most_bytes=most_bytes)
                return found

        service._engine = Heard()
        assert len(service.board_links(-1)) == 1
    assert asked == [LIMITS.links_bytes]
