# SPDX-License-Identifier: Apache-2.0
"""A cheap load generator: requests made ahead, sent over kept-alive connections by its own process.

    load = send(url, requests, connections=128)      load.rate, load.wait(0.99)

It parses no more of an answer than its status and length, so that on a machine of few cores nearly
all time is the server's: about 15 µs of a processor for each request. Requests are handed out in
their order, each to the next connection that has its last answer; or to the connections in turn,
`in_turn`, so that each sends its own share in order. Every answer must be 2xx.
"""

import multiprocessing
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

_READ = 65_536


@dataclass(frozen=True, slots=True)
class Load:
    """How it went: seconds in all, and for each request from its sending to its answer."""

    seconds: float
    waits: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.waits) / self.seconds

    def wait(self, share: float) -> float:
        """The wait in seconds that this share of requests did not exceed: 0.5, 0.99."""
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def request(method: str, path: str, body: bytes, content_type: str) -> bytes:
    """One request, whole."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: board\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def send(url: str, requests: Sequence[bytes], *, connections: int, in_turn: bool = False) -> Load:
    """Send them all, from a process of their own. RuntimeError for an answer that is not 2xx."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_run, args=(sender, url, requests, connections), kwargs={"in_turn": in_turn}
    )
    process.start()
    sender.close()
    try:
        said = receiver.recv()
    finally:
        process.join()
    if isinstance(said, Exception):
        raise said
    assert isinstance(said, Load)
    return said


def _run(
    answer: Connection, url: str, requests: Sequence[bytes], connections: int, *, in_turn: bool
) -> None:
    try:
        answer.send(_send(url, requests, connections, in_turn=in_turn))
    except Exception as error:  # noqa: BLE001 - raised again where somebody reads it
        answer.send(error)


@dataclass(slots=True)
class _Client:
    socket: socket.socket
    left: Iterator[bytes]
    sent: float = 0.0
    unread: bytes = b""


def _send(url: str, requests: Sequence[bytes], connections: int, *, in_turn: bool) -> Load:
    where = urlsplit(url)
    address = (where.hostname or "", where.port or 80)
    poll = selectors.DefaultSelector()
    clients: list[_Client] = []
    shared = iter(requests)
    for place in range(min(connections, len(requests))):
        left = islice(requests, place, None, connections) if in_turn else shared
        client = _Client(socket.create_connection(address), left)
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(client.socket, selectors.EVENT_READ, client)
        clients.append(client)
    waits: list[float] = []
    began = time.perf_counter()
    for client in clients:
        _send_next(client)
    while len(waits) < len(requests):
        for key, _ in poll.select():
            client = key.data
            if not _is_answered(client):
                continue
            waits.append(time.perf_counter() - client.sent)
            if not _send_next(client):
                poll.unregister(client.socket)
                client.socket.close()
    return Load(time.perf_counter() - began, tuple(waits))


def _send_next(client: _Client) -> bool:
    following = next(client.left, None)
    if following is None:
        return False
    client.sent = time.perf_counter()
    client.socket.sendall(following)
    return True


def _is_answered(client: _Client) -> bool:
    """Whether the answer is whole now."""
    piece = client.socket.recv(_READ)
    if not piece:
        raise RuntimeError("the server closed a connection")
    data = client.unread = client.unread + piece
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    if not data.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(f"refused: {data[:600]!r}")
    length = 0
    at = data[:end].lower().find(b"content-length:")
    if at >= 0:
        length = int(data[at + 15 : data.index(b"\r\n", at)])
    if len(data) < end + 4 + length:
        return False
    client.unread = b""
    return True
