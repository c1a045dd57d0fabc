# SPDX-License-Identifier: Apache-2.0
"""The server itself: limits on what a connection may cost, and a calm end."""

import asyncio
import resource
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from fieldpost.client.transport import HttpClient
from fieldpost.errors import FieldpostError, Misconfigured
from fieldpost.node.api import problems
from fieldpost.node.api.requests import read_body
from fieldpost.node.config import Limits
from fieldpost.node.server import Server

FOREVER_S = 600.0
# Nobody is cut off by time, but by those tests that are about it.
LIMITS = Limits(
    header_s=FOREVER_S, header_bytes=2_000, body_silence_s=FOREVER_S, body_s=FOREVER_S, drain_s=60
)


async def echo(request: Request) -> Response:
    body = await read_body(request, most_bytes=10, silence_s=FOREVER_S, total_s=FOREVER_S)
    return PlainTextResponse(body.decode())


async def silence(request: Request) -> Response:
    await read_body(request, most_bytes=10, silence_s=0.2, total_s=FOREVER_S)
    raise AssertionError("nobody sends all of it")


async def total(request: Request) -> Response:
    await read_body(request, most_bytes=10_000, silence_s=FOREVER_S, total_s=0.4)
    raise AssertionError("nobody sends all of it")


async def patient(request: Request) -> Response:
    await read_body(request, most_bytes=10, silence_s=FOREVER_S, total_s=FOREVER_S)
    raise AssertionError("nobody sends all of it")


async def half(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.Event().wait()

    return StreamingResponse(pieces())


@contextmanager
def running(limits: Limits = LIMITS) -> Iterator[Server]:
    app = Starlette(
        routes=[
            Route("/echo", echo, methods=["GET", "POST"]),
            Route("/silence", silence, methods=["POST"]),
            Route("/total", total, methods=["POST"]),
            Route("/patient", patient, methods=["POST"]),
            Route("/half", half),
        ],
        exception_handlers={FieldpostError: problems.answer_error},
    )
    ready = threading.Event()
    server = Server(app, listen=[("127.0.0.1", 0)], limits=limits, on_ready=ready.set)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(60)
        yield server
    finally:
        server.stop()
        thread.join(timeout=60)
        assert not thread.is_alive()


def connect(server: Server) -> socket.socket:
    port = int(server.url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def read_to_end(connection: socket.socket) -> bytes:
    data = b""
    try:
        while piece := connection.recv(65_536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def test_a_request_is_answered() -> None:
    """The control of the tests below."""
    with running() as server, HttpClient(server.url) as http:
        assert http.send("POST", "/echo", b"hello", content_type="text/plain").body == b"hello"


@pytest.mark.parametrize(
    "sent", [b"", b"GET /echo HTTP/1.1\r\n", b"GET /echo HTTP/1.1\r\nHost: x\r\nA: "]
)
def test_a_header_that_never_ends_is_not_waited_for(sent: bytes) -> None:
    with running(replace(LIMITS, header_s=0.2)) as server, closing(connect(server)) as connection:
        connection.sendall(sent)
        assert read_to_end(connection) == b""


def test_a_header_without_end_fills_no_memory() -> None:
    with running() as server, closing(connect(server)) as connection:
        connection.sendall(b"GET /echo HTTP/1.1\r\n")
        try:
            for _ in range(1_000):
                connection.sendall(b"A: " + b"b" * 1_000 + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert read_to_end(connection) == b""


@pytest.mark.parametrize("header", [b"Content-Length: 11", b"Transfer-Encoding: chunked"])
def test_a_body_that_is_too_large_is_refused(header: bytes) -> None:
    with running() as server, closing(connect(server)) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header)
        connection.sendall(b"\r\n\r\nb\r\nhello world\r\n")
        assert read_to_end(connection).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_stops_is_not_waited_for() -> None:
    with running() as server, closing(connect(server)) as connection:
        connection.sendall(b"POST /silence HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n")
        connection.sendall(b"Connection: close\r\n\r\nhel")
        assert read_to_end(connection).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_drips_is_not_waited_for() -> None:
    with running() as server, closing(connect(server)) as connection:
        connection.sendall(b"POST /total HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n")
        connection.settimeout(0.1)
        answer = b""
        for _ in range(1_000):
            connection.sendall(b"x")
            try:
                answer = connection.recv(65_536)
                break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_request_that_never_ends_does_not_keep_the_server_from_ending() -> None:
    with running(replace(LIMITS, drain_s=1)) as server:
        stuck = connect(server)
        stuck.sendall(b"POST /patient HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n")
        stuck.sendall(b"Expect: 100-continue\r\n\r\n")
        assert stuck.recv(100).startswith(b"HTTP/1.1 100 "), "it waits for the body now"
    stuck.close()


def test_what_is_no_request_gets_no_answer_in_the_middle_of_another() -> None:
    """The 400 would be taken for a part of the body before."""
    with running(replace(LIMITS, drain_s=1)) as server, closing(connect(server)) as connection:
        connection.sendall(b"GET /half HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while b"half" not in answer:
            answer += connection.recv(65_536)
        connection.sendall(b"\x00 no request\r\n\r\n")
        assert b"400" not in read_to_end(connection)


@pytest.mark.parametrize(("files", "places"), [(600, 88), (100, 16), (5_000, 4_096)])
def test_an_operator_is_told_when_the_system_allows_fewer_connections_than_the_settings(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, files: int, places: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    with running(Limits(connections=4_096)) as server, HttpClient(server.url) as http:
        assert http.send("POST", "/echo", b"hello", content_type="text/plain").body == b"hello"
    told = [f"few-connections connections={places} wanted=4096"] if places < 4_096 else []
    assert [record.getMessage() for record in caplog.records] == told


def test_after_the_end_nobody_is_accepted() -> None:
    with running() as server:
        url = server.url
    with pytest.raises(FieldpostError), HttpClient(url, timeout_s=5) as http:
        http.fetch("/echo")


def test_a_port_that_is_taken_is_a_setting_to_fix() -> None:
    with running() as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(Misconfigured, match="--listen"):
            Server(Starlette(), listen=[("127.0.0.1", port)], limits=LIMITS)
