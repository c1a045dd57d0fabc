# SPDX-License-Identifier: Apache-2.0
"""A node process under hostile load: what strangers do to it costs devices and makers nothing."""

import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from fieldpost.client.publisher import submit_post
from fieldpost.client.transport import HttpClient
from fieldpost.testing import maker_posts
from fieldpost.testing.mirror import MirroredBoard
from tests.e2e.test_node_process import Process, node

pytestmark = pytest.mark.e2e

IDLE = 10_000
FILES = IDLE + 512


@contextmanager
def many_files() -> Iterator[None]:
    """Let this process open as many sockets as the attack needs, or skip."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        pytest.skip(f"this machine lets a process open {hard} files, and {FILES} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(process: Process) -> socket.socket:
    port = int(process.url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def with_class(process: Process) -> tuple[MirroredBoard, str]:
    """A maker with a class on the board, and the path of its devices' check-in."""
    world = MirroredBoard(process.entries)
    with HttpClient(process.url, timeout_s=60) as http:
        for post in (world.maker.registration, world.maker.class_set):
            submit_post(http, post())
            world.refresh()
    return world, f"/v1/checkin/{world.maker.class_id('tracker').hex()}/stable"


def count_served(process: Process, world: MirroredBoard, path: str, count: int) -> tuple[int, int]:
    """New connections of devices that check in, and posts of a maker."""
    check_ins = posts = 0
    for _ in range(count):
        with HttpClient(process.url, timeout_s=60) as http:
            check_ins += bool(http.fetch(path, headers={"X-Forwarded-For": "198.51.100.7"}))
    for number in range(count // 10):
        with HttpClient(process.url, timeout_s=60) as http:
            entry = maker_posts.maker_set(world.maker, contact=f"{number}@acme.example")
            submit_post(http, entry)
            posts += 1
        world.refresh()
    return check_ins, posts


def test_ten_thousand_idle_connections_keep_no_device_and_no_maker_out(tmp_path: Path) -> None:
    with node(tmp_path) as process, many_files(), ExitStack() as stack:
        world, path = with_class(process)
        for number in range(IDLE):
            connection = stack.enter_context(closing(connect(process)))
            with suppress(ConnectionResetError, BrokenPipeError):
                # A third say nothing, a third begin a request, a third had one and stay.
                connection.sendall((b"", b"GET / HTTP/1.1\r\nHo", b"POST /v1/posts")[number % 3])
        assert count_served(process, world, path, 50) == (50, 5)
        assert process.popen.poll() is None


def test_a_flood_from_one_address_and_slow_bodies_cost_others_nothing(tmp_path: Path) -> None:
    with node(tmp_path) as process, ExitStack() as stack:
        world, path = with_class(process)
        head = b"POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Type: application/eat+cwt\r\n"
        for _ in range(200):
            connection = stack.enter_context(closing(connect(process)))
            connection.sendall(head + b"Content-Length: 4000\r\n\r\nd")
        stop = threading.Event()

        def flood() -> None:
            request = b"GET /v1/board HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
            while not stop.is_set():
                with suppress(OSError), closing(connect(process)) as connection:
                    connection.sendall(request * 20)
                    connection.recv(65_536)

        threads = [threading.Thread(target=flood) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            assert count_served(process, world, path, 50) == (50, 5)
        finally:
            stop.set()
            for thread in threads:
                thread.join(timeout=60)
        assert process.popen.poll() is None
