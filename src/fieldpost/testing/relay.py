# SPDX-License-Identifier: Apache-2.0
"""An untrusted relay between a node and its clients: passes requests on, and does what a test says.

    with Relay(node_url) as relay:
        relay.instead = lambda path: b"…" if path.endswith("/checkpoint") else None    never asks
        relay.alter = lambda path, body: body.replace(…)      lies about every answer
        relay.cut = lambda path: 1000 if "/blobs/" in path else None     ends the body early
        relay.hold = lambda path: 1000 if … else None         then waits for `resume`
        relay.requests                                        [(method, path, Range header or None)]

It is a thread of the test's own process, on loopback.
"""

import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from fieldpost.errors import NotFound

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "date", "server"})


class QuietServer(ThreadingHTTPServer):
    """A server of a test's own process; clients that die in mid-sentence are nothing to tell of."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class Relay:
    """One relay. The attributes may be changed while it runs.

    `instead` answers a GET itself where it gives a body, or pieces of one; NotFound is a 404.
    """

    def __init__(self, target: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.target = target
        self.instead: Callable[[str], bytes | Iterator[bytes] | None] = lambda _: None
        self.alter: Callable[[str, bytes], bytes] = lambda _, body: body
        self.cut: Callable[[str], int | None] = lambda _: None
        self.hold: Callable[[str], int | None] = lambda _: None
        self.held = threading.Event()
        self.resume = threading.Event()
        self.requests: list[tuple[str, str, str | None]] = []
        self._server = QuietServer((host, port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where devices reach it."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.resume.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(relay: Relay) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.relay = relay
    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    relay: Relay

    def do_GET(self) -> None:
        self.relay.requests.append((self.command, self.path, self.headers.get("Range")))
        try:
            own = self.relay.instead(self.path)
        except NotFound:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        match own:
            case None:
                self._ask()
            case bytes():
                self.send_response(200)
                wanted = self.headers.get("Accept", "").partition(",")[0]
                self.send_header("Content-Type", wanted or "application/octet-stream")
                self.send_header("Content-Length", str(len(own)))
                self.end_headers()
                self._send(own)
            case pieces:
                self._send_pieces(pieces)

    def _send_pieces(self, pieces: Iterator[bytes]) -> None:
        """A body of whose length nobody knows."""
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        try:
            for piece in pieces:
                self.wfile.write(piece)
        except OSError:
            return  # whoever asked has had enough

    def do_HEAD(self) -> None:
        self._pass_on()

    def do_PATCH(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def do_PUT(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        self.relay.requests.append((self.command, self.path, self.headers.get("Range")))
        self._ask()

    def _ask(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        asked = {name: value for name, value in self.headers.items() if name != "Host"}
        node = HTTPConnection(urlsplit(self.relay.target).netloc, timeout=10)
        try:
            node.request(self.command, self.path, self.rfile.read(length) or None, asked)
            answer = node.getresponse()
            body = answer.read()
        finally:
            node.close()
        if answer.status < 300:
            body = self.relay.alter(self.path, body)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._send(body)

    def _send(self, body: bytes) -> None:
        cut, hold = self.relay.cut(self.path), self.relay.hold(self.path)
        if cut is not None:
            body = body[:cut]
            self.close_connection = True
        try:
            if hold is not None:
                self.wfile.write(body[:hold])
                self.wfile.flush()
                self.relay.held.set()
                self.relay.resume.wait()
                body = body[hold:]
            self.wfile.write(body)
        except OSError:
            # The agent is gone, which some tests want.
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing: the test says what matters."""
