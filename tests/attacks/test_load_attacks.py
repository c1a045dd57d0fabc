# SPDX-License-Identifier: Apache-2.0
"""Connections and requests as attacks: smuggled, slow, idle, too many. Devices are served."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from fieldpost.client.transport import HttpClient
from fieldpost.errors import Unavailable
from fieldpost.testing.defences import Defence, without
from tests.unit.node.running_node import LIMITS, Running, running, with_class

HONEST = "198.51.100.7"
FLOOD = "203.0.113.9"
NEXT = b"GET /healthz?next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Type: application/eat+cwt\r\n"
GET = b"GET /healthz HTTP/1.1\r\n"


def connect(node: Running, source: str = "127.0.0.1") -> socket.socket:
    port = int(node.url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(source, 0))


def exchange(node: Running, sent: bytes) -> bytes:
    """What comes back until the node ends the connection."""
    with closing(connect(node)) as connection:
        answer = b""
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(sent)
            while piece := connection.recv(65_536):
                answer += piece
    return answer


def check_ins(node: Running, path: str, count: int, address: str = HONEST) -> int:
    """How many of so many check-ins of a device behind a proxy are answered."""
    answered = 0
    for _ in range(count):
        with suppress(Unavailable), HttpClient(node.url, timeout_s=60) as http:
            assert http.fetch(path, headers={"X-Forwarded-For": address})
            answered += 1
    return answered


def head_path(node: Running) -> str:
    return f"/v1/checkin/{with_class(node).maker.class_id('tracker').hex()}/stable"


# --- smuggling (RFC 9112) ---

SMUGGLED = {
    "length and chunked": POST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": POST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "one length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\nhi",
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\nhi",
    "a length in hex": POST + b"Content-Length: 0x2\r\n\r\nhi",
    "a length of 2^80": POST + b"Content-Length: 1208925819614629174706176\r\n\r\nhi",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "another coding before": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "space before a colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a fold of another": GET + b"Host: x\r\nA: b\r\n c\r\n\r\n",
    "space before the first": GET + b" Host: x\r\n\r\n",
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: x\n\n",
    "one bare line feed": GET + b"Host: x\r\nA: b\n\r\n",
    "a bare carriage return": GET + b"Host: x\rA: b\r\n\r\n",
    "a zero byte": GET + b"Host: x\r\nA: b\x00c\r\n\r\n",
    "no host": GET + b"\r\n",
    "two hosts": GET + b"Host: x\r\nHost: y\r\n\r\n",
    "a host that is none": GET + b"Host: x y/\r\n\r\n",
    "a chunk with a bare line feed": POST + b"Transfer-Encoding: chunked\r\n\r\n2\nhi\r\n0\r\n\r\n",
    "a chunk size with 0x": POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n",
    "a chunk size of 2^68": POST
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"f" * 17
    + b"\r\nhi\r\n0\r\n\r\n",
    "a negative chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n0\r\n\r\n",
    "a chunk longer than said": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhiXX0\r\n\r\n",
    "a length in the trailer": POST
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
    "HTTP/2 over HTTP/1": b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n",
    "a name with a space": GET + b"Host: x\r\nA B: c\r\n\r\n",
    "chunked of HTTP/1.0": POST.replace(b"1.1", b"1.0")
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    limits = replace(LIMITS, body_silence_s=0.3, body_s=0.5)
    with running(tmp_path_factory.mktemp("node") / "data", limits) as node:
        yield node


@pytest.mark.parametrize("name", SMUGGLED)
def test_what_can_be_framed_in_two_ways_is_refused_and_ends_the_connection(
    served: Running, name: str
) -> None:
    answer = exchange(served, SMUGGLED[name] + NEXT)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
    assert answer.count(b"HTTP/1.1 ") <= 1, "what follows is not taken for a request"
    assert b"\r\n\r\nok" not in answer


def test_the_same_requests_in_their_one_form_are_answered(served: Running) -> None:
    for sent in (
        GET + b"Host: x\r\n\r\n" + NEXT,
        b"\r\n" + GET + b"Host: x\r\n\r\n" + NEXT,
        GET + b"Host: x\r\nContent-Length: 3\r\n\r\nGET" + NEXT,
        POST + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n" + NEXT,
    ):
        answer = exchange(served, sent)
        assert answer.count(b"HTTP/1.1 ") == 2
        assert answer.endswith(b"ok\n")


@pytest.mark.parametrize("name", ["no host", "two hosts", "another coding before"])
def test_control_without_the_check_of_framing_both_are_answered(tmp_path: Path, name: str) -> None:
    with without(Defence.FRAMING), running(tmp_path / "data") as node:
        assert exchange(node, SMUGGLED[name] + NEXT).endswith(b"ok\n")


def test_whoever_asks_for_another_protocol_gets_one_answer_and_the_end(served: Running) -> None:
    upgrade = GET + b"Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    answer = exchange(served, upgrade + NEXT)
    assert answer.count(b"HTTP/1.1 200") == 1


def test_pipelining_without_reading_ends(served: Running) -> None:
    """Thousands of requests that wait would each take memory."""
    answer = exchange(served, (GET.replace(b"healthz", b"readyz") + b"Host: x\r\n\r\n") * 5_000)
    assert answer.count(b"HTTP/1.1 ") < 5_000
    assert served.http.fetch("/healthz")


# --- connections ---


def hold(node: Running, stack: ExitStack, count: int, sent: bytes, source: str) -> None:
    """Connections that say only this much."""
    for _ in range(count):
        connection = stack.enter_context(closing(connect(node, source)))
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(sent)


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: ", POST[:-20]])
def test_idle_and_slow_connections_keep_nobody_out(tmp_path: Path, sent: bytes) -> None:
    limits = replace(LIMITS, connections=24, header_s=600.0)
    with running(tmp_path / "data", limits) as node, ExitStack() as stack:
        path = head_path(node)
        hold(node, stack, 60, sent, "127.0.0.1")
        assert check_ins(node, path, 20) == 20


def test_control_without_room_for_newcomers_idle_ones_keep_all_others_out(tmp_path: Path) -> None:
    limits = replace(LIMITS, connections=24, header_s=600.0)
    with (
        without(Defence.ROOM_FOR_NEWCOMERS),
        running(tmp_path / "data", limits) as node,
        ExitStack() as stack,
    ):
        path = head_path(node)
        hold(node, stack, 60, b"", "127.0.0.1")
        assert check_ins(node, path, 5) == 0


def answered(node: Running, stack: ExitStack, source: str) -> bool:
    """Whether a new connection from there is served; it stays open."""
    connection = stack.enter_context(closing(connect(node, source)))
    with suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(GET + b"Host: x\r\n\r\n")
        return connection.recv(100).startswith(b"HTTP/1.1 200")
    return False


def test_one_address_has_only_so_many_connections(tmp_path: Path) -> None:
    limits = replace(LIMITS, client_connections=4)
    with running(tmp_path / "data", limits, trusted_proxies=()) as node, ExitStack() as stack:
        assert [answered(node, stack, "127.0.0.2") for _ in range(6)] == [True] * 4 + [False] * 2
        assert answered(node, stack, "127.0.0.3")


def test_control_without_places_for_each_one_address_takes_them_all(tmp_path: Path) -> None:
    limits = replace(LIMITS, client_connections=4)
    with (
        without(Defence.CLIENT_PLACES),
        running(tmp_path / "data", limits, trusted_proxies=()) as node,
        ExitStack() as stack,
    ):
        assert all(answered(node, stack, "127.0.0.2") for _ in range(6))


# --- floods ---

SLOW_RATE = replace(LIMITS, client_requests_per_s=0.01, client_burst=30)


def flood(node: Running, path: str, address: str, count: int = 200) -> int:
    """How many of so many requests are answered; the others ask to wait."""
    answers, waits = 0, []
    with HttpClient(node.url, timeout_s=60) as http:
        for _ in range(count):
            try:
                http.fetch(path, headers={"X-Forwarded-For": address})
                answers += 1
            except Unavailable as error:
                waits.append(error.retry_after_s)
    assert all(waits), "who is cut is told when to come back"
    return answers


@pytest.mark.parametrize("path", ["/v1/board", "/healthz", "checkin"])
def test_a_flood_from_one_address_is_cut_and_others_are_served(tmp_path: Path, path: str) -> None:
    with running(tmp_path / "data", SLOW_RATE) as node:
        device = head_path(node)
        count = flood(node, device if path == "checkin" else path, FLOOD, 100)
        # A check-in that lies ready costs a tenth; the first of each second is made anew.
        assert count == (100 if path == "checkin" else 30)
        if path == "checkin":
            assert flood(node, device, FLOOD, 300) < 300
        assert check_ins(node, device, 20) == 20


def test_control_without_rates_a_flood_is_served_in_full(tmp_path: Path) -> None:
    with without(Defence.RATE), running(tmp_path / "data", SLOW_RATE) as node:
        assert flood(node, "/v1/board", FLOOD) == 200


def test_one_customers_ipv6_addresses_are_one_client(tmp_path: Path) -> None:
    with running(tmp_path / "data", SLOW_RATE) as node:
        counts = [flood(node, "/v1/board", f"2001:db8:1:2::{n:x}", 10) for n in range(9)]
        assert sum(counts) == 30
        assert flood(node, "/v1/board", "2001:db8:1:3::1", 10) == 10


def test_nobody_but_a_trusted_proxy_says_for_whom_it_asks(tmp_path: Path) -> None:
    with running(tmp_path / "data", SLOW_RATE, trusted_proxies=("192.0.2.0/24",)) as node:
        counts = [flood(node, "/v1/board", f"203.0.113.{n}", 10) for n in range(9)]
        assert sum(counts) == 30


def test_control_where_everybody_is_a_trusted_proxy_a_lie_buys_another_bucket(
    tmp_path: Path,
) -> None:
    limits = SLOW_RATE
    with (
        without(Defence.PROXIES),
        running(tmp_path / "data", limits, trusted_proxies=("192.0.2.0/24",)) as node,
    ):
        counts = [flood(node, "/v1/board", f"203.0.113.{n}", 10) for n in range(9)]
        assert sum(counts) == 90


def test_the_operators_own_programs_are_not_limited(tmp_path: Path) -> None:
    """A proxy that says for nobody limits its clients itself; benchmarks run from loopback."""
    with running(tmp_path / "data", SLOW_RATE) as node:
        for _ in range(100):
            node.http.fetch("/v1/board")


def test_posts_and_reports_on_the_short_way_are_limited_too(tmp_path: Path) -> None:
    body = POST + b"X-Forwarded-For: 203.0.113.9\r\nContent-Length: 1\r\n\r\nx"
    with running(tmp_path / "data", SLOW_RATE) as node:
        statuses = [exchange(node, body + NEXT)[:12] for _ in range(40)]
        assert statuses == [b"HTTP/1.1 400"] * 30 + [b"HTTP/1.1 429"] * 10
