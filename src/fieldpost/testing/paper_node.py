# SPDX-License-Identifier: Apache-2.0
"""A node that serves a `PaperBoard` over HTTP: as much of the API as a device asks for.

    with PaperNode(board) as node:
        node.publish(2, image)          a release that everybody is offered
        node.url, node.reports

It says what the board says, also when that is a lie. A thread of the test's own process.
"""

import threading
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from itertools import accumulate
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from fieldpost import cbor
from fieldpost.identity.report import Report, open_report
from fieldpost.records import map_keys
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.relay import QuietServer


class PaperNode:
    """One node. `blobs` and `manifests` are by digest in hex, `reports` in order of arrival.

    Links come in `parts` of `part_bytes`.
    """

    def __init__(self, board: PaperBoard) -> None:
        self.board = board
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.reports: list[Report] = []
        self.is_silent = False
        self.part_bytes = 1 << 20
        self.parts = 0
        self._server = QuietServer(("127.0.0.1", 0), type("H", (_Handler,), {"node": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """Where devices reach it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def publish(self, sequence: int, image: bytes, **more: bytes) -> None:
        """Store the image, `more` of them by name, and their manifest; offer it to everybody."""
        envelope = self.board.envelope(sequence, image=image, more=more)
        self.blobs |= {sha256(data).hexdigest(): data for data in (image, *more.values())}
        self.manifests[envelope.digest.hex()] = envelope.encode()
        self.board.offer(replace(self.board.release(sequence), manifest=envelope.digest))

    def answer(self, path: str) -> bytes | None:
        """The body at a path; None = there is nothing."""
        parts = urlsplit(path)
        match parts.path.strip("/").split("/"):
            case ["v1", "checkin", class_id, channel]:
                key = map_keys.head(bytes.fromhex(class_id), channel)
                return self.board.bundle(key)
            case ["v1", "proof", key_hex]:
                return self.board.bundle(bytes.fromhex(key_hex))
            case ["v1", "manifests", digest]:
                return self.manifests.get(digest)
            case ["v1", "blobs", "sha256", digest]:
                return self.blobs.get(digest)
            case ["v1", "board"]:
                return self._part(self.board.board_chain[_since(parts.query) + 1 :])
            case ["links"]:
                return cbor.encode(self.board.maker_chain)
            case ["v1", "makers", _, "links"]:
                return self._part(self.board.maker_chain[_since(parts.query) + 1 :])
            case _:
                return None

    def _part(self, links: list[bytes]) -> bytes:
        """As many links as come to `part_bytes`, or all of them."""
        sizes = accumulate(map(len, links))
        whole = sum(1 for size in sizes if size <= self.part_bytes)
        self.parts += 1
        return cbor.encode(links[:whole])


def _since(query: str) -> int:
    return int(query.removeprefix("since="))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    node: PaperNode

    def do_GET(self) -> None:
        body = None if self.node.is_silent else self.node.answer(self.path)
        start = 0
        wanted = self.headers.get("Range")
        if body is not None and wanted is not None:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.send_response(404 if body is None else 206 if start else 200)
        rest = (body or b"")[start:]
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(rest)))
        if start and body is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        self.wfile.write(rest)

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.node.reports.append(open_report(data)[1])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: the test says what matters."""
