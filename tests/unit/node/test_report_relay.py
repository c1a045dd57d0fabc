# SPDX-License-Identifier: Apache-2.0
"""Reports reach every operator: passed on once, kept for one that is away, refused by nobody's rule
but its own."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from fieldpost.errors import Unavailable
from fieldpost.node.report_relay import RELAYED, ReportRelay
from fieldpost.node.reporting import _relay
from fieldpost.testing.relay import QuietServer

PATIENCE_S = 60
# Nobody listens there.
DEAD = "http://127.0.0.1:9"


class Peer:
    """Another operator's node: answers with `statuses`, then 204; `taken` is what it took."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.taken: list[tuple[str, bytes]] = []
        self.changed = threading.Condition()

    def wait_taken(self, count: int) -> list[tuple[str, bytes]]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.taken) >= count, PATIENCE_S)
            return list(self.taken)


@contextmanager
def serving(peer: Peer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = peer.statuses.pop(0) if peer.statuses else 204
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            if status == 204:
                with peer.changed:
                    peer.taken.append((self.headers["Content-Type"], body))
                    peer.changed.notify_all()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = QuietServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def relaying(peers: dict[str, tuple[str, ...]]) -> Iterator[ReportRelay]:
    relay = ReportRelay(lambda: peers)
    try:
        yield relay
    finally:
        relay.close()


def test_every_operator_gets_each_report_once_and_is_told_that_it_was_relayed() -> None:
    first, second = Peer(), Peer()
    with (
        serving(first) as a,
        serving(second) as b,
        relaying({"a": (a,), "b": (b,)}) as relay,
    ):
        for report in (b"one", b"two"):
            relay.pass_on(report)
        wanted = [(RELAYED, b"one"), (RELAYED, b"two")]
        assert first.wait_taken(2) == wanted
        assert second.wait_taken(2) == wanted


def test_a_url_that_is_none_costs_a_turn_and_not_the_reports() -> None:
    """What an operator wrote into the record, every other operator's node must survive."""
    peer = Peer()
    with serving(peer) as url, relaying({"a": ("no url", url)}) as relay:
        relay.pass_on(b"one")
        assert peer.wait_taken(1) == [(RELAYED, b"one")]


def test_an_operator_that_is_away_holds_up_nobody_else() -> None:
    peer = Peer()
    with serving(peer) as url, relaying({"dead": (DEAD,), "there": (url,)}) as relay:
        relay.pass_on(b"one")
        assert peer.wait_taken(1) == [(RELAYED, b"one")]


def test_what_an_operator_missed_reaches_it_later_in_order() -> None:
    peer = Peer(503, 503)
    with serving(peer) as url, relaying({"a": (DEAD, url)}) as relay:
        for report in (b"one", b"two", b"three"):
            relay.pass_on(report)
        assert [body for _, body in peer.wait_taken(3)] == [b"one", b"two", b"three"]


@pytest.mark.parametrize("status", [400, 404, 409])
def test_what_an_operator_refuses_is_its_own_affair(status: int) -> None:
    peer = Peer(status)
    with serving(peer) as url, relaying({"a": (url,)}) as relay:
        relay.pass_on(b"refused")
        relay.pass_on(b"taken")
        assert peer.wait_taken(1) == [(RELAYED, b"taken")]


def test_nothing_is_passed_on_while_nobody_knows_the_operators() -> None:
    def unknown() -> dict[str, tuple[str, ...]]:
        raise Unavailable("no head was published yet")

    relay = ReportRelay(unknown)
    relay.pass_on(b"one")
    relay.close()


def test_only_a_stored_report_is_passed_on() -> None:
    passed: list[bytes] = []
    stored: Future[None] = Future()
    stored.set_result(None)
    refused: Future[None] = Future()
    refused.set_exception(Unavailable("the disk is full"))
    _relay(passed.append, b"stored", stored)
    _relay(passed.append, b"refused", refused)
    assert passed == [b"stored"]
