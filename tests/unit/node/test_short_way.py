# SPDX-License-Identifier: Apache-2.0
"""Posts that the protocol takes itself: the same answers, order and limits as through the app."""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.responses import Response

from fieldpost.metrics.prometheus import Metrics
from fieldpost.node.callers import Callers, Requests
from fieldpost.node.exchange import Announced, find_announced
from fieldpost.node.following import Follower
from fieldpost.node.posting import json_of_proofs
from fieldpost.node.taking import Respond, ShortWay
from tests.unit.node.running_node import LIMITS, Running, running

WAIT_S = 60
JSON_HEAD = b"content-type: application/json"


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Running]:
    """A node that no test waits for."""
    with running(tmp_path, replace(LIMITS, body_silence_s=WAIT_S, body_s=WAIT_S)) as node:
        yield node


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Running]:
    """A node that soon loses its patience."""
    with running(tmp_path, replace(LIMITS, body_silence_s=0.3, body_s=0.8)) as node:
        yield node


def connect(node: Running) -> socket.socket:
    where = urlsplit(node.url)
    assert where.port is not None
    return socket.create_connection((where.hostname or "", where.port), timeout=WAIT_S)


def post(body: bytes, *more: str, kind: str = "application/cose", path: str = "/v1/posts") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: board", f"Content-Type: {kind}", *more]
    if not any(line.lower().startswith("transfer-encoding") for line in more):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_answers(stream: socket.socket, count: int) -> list[tuple[int, bytes, bytes]]:
    """Status, head and body of each."""
    with stream.makefile("rb") as file:
        return [read_answer(file) for _ in range(count)]


def read_answer(file) -> tuple[int, bytes, bytes]:  # type: ignore[no-untyped-def]
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = file.readline()
        assert line, f"the connection ended after {head!r}"
        head += line
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    body = file.read(int(lengths[0].split(b":")[1])) if lengths else b""
    return int(head.split(b" ")[1]), head.lower(), body


def test_both_ways_answer_alike(patient: Running) -> None:
    entry = patient.world().maker.registration()
    with connect(patient) as stream:
        for request in (post(entry), post(entry, path="/v1/posts?long-way")):
            stream.sendall(request)
        (status, head, body), (status_long, head_long, body_long) = read_answers(stream, 2)
    assert status == status_long == 200
    assert JSON_HEAD in head
    assert json.loads(body).keys() == json.loads(body_long).keys() == {"index", "size", "receipt"}
    names = [{line.partition(b":")[0] for line in h.split(b"\r\n")[1:]} for h in (head, head_long)]
    assert names[0] == names[1]


def test_answers_come_in_the_order_of_their_requests(patient: Running) -> None:
    entry = patient.world().maker.registration()
    requests = [
        post(entry),
        b"GET /v1/board HTTP/1.1\r\nHost: board\r\n\r\n",
        post(b"no post"),
        post(entry + entry, kind="application/cbor-seq"),
    ]
    with connect(patient) as stream:
        stream.sendall(b"".join(requests))
        answers = read_answers(stream, 4)
    assert [status for status, _, _ in answers] == [200, 200, 422, 200]
    assert "receipt" in json.loads(answers[0][2])
    assert "board" in json.loads(answers[1][2])
    assert len(json.loads(answers[3][2])["results"]) == 2


@pytest.mark.parametrize("piece", [1, 100])
def test_a_body_may_come_in_pieces(patient: Running, piece: int) -> None:
    request = post(patient.world().maker.registration())
    head, rest = request[:-200], request[-200:]
    with connect(patient) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.sendall(head)
        for start in range(0, len(rest), piece):
            stream.sendall(rest[start : start + piece])
        ((status, _, _),) = read_answers(stream, 1)
    assert status == 200


def test_a_body_that_stops_is_answered_and_cut_off(quick: Running) -> None:
    request = post(quick.world().maker.registration())
    with connect(quick) as stream:
        stream.sendall(request[:-10])
        ((status, head, body),) = read_answers(stream, 1)
        assert status == 408
        assert b"connection: close" in head
        assert json.loads(body)["next"]
        assert stream.recv(1) == b""
    assert len(quick.entries()) == 2, "nothing but genesis and its state leaf"


def test_a_body_that_drips_ends_at_the_total(quick: Running) -> None:
    request = post(b"x" * 60_000)
    with connect(quick) as stream:
        stream.settimeout(0.1)
        stream.sendall(request[:-1_000])
        answer = b""
        for at in range(1_000):
            stream.sendall(request[len(request) - 1_000 + at :][:1])
            try:
                answer = stream.recv(65_536)
                break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(b"x" * 65_536), 413),
        (post(b""), 422),
        (post(b"x", kind="text/plain"), 415),
        (post(b"4\r\nxxxx\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), 422),
        (post(b"\x00" * 101, kind="application/cbor-seq"), 400),
    ],
    ids=["too large", "empty", "another type", "chunked", "too many"],
)
def test_what_the_short_way_does_not_take_is_answered_all_the_same(
    patient: Running, request_: bytes, status: int
) -> None:
    with connect(patient) as stream:
        stream.sendall(request_)
        ((found, _, body),) = read_answers(stream, 1)
    assert found == status
    assert json.loads(body)["next"]


def test_a_client_that_goes_away_takes_nothing_back(patient: Running) -> None:
    entry = patient.world().maker.registration()
    with connect(patient) as stream:
        stream.sendall(post(entry))
    with connect(patient) as stream:
        stream.sendall(post(entry))
        ((status, _, body),) = read_answers(stream, 1)
    assert status == 200
    assert patient.entries()[json.loads(body)["index"]] == entry


def test_both_ways_are_counted_once(patient: Running) -> None:
    def counted() -> str:
        text = patient.metrics.render()
        (line,) = [line for line in text.splitlines() if 'noun="posts"' in line]
        return line.rpartition(" ")[2]

    entry = patient.world().maker.registration()
    with connect(patient) as stream:
        stream.sendall(post(entry))
        read_answers(stream, 1)
        assert counted() == "1"
        stream.sendall(post(entry, path="/v1/posts?long-way"))
        read_answers(stream, 1)
        assert counted() == "2"


def test_receipts_are_written_as_any_json_encoder_writes_them() -> None:
    proofs = [
        f"c2sp.org/tlog-proof@v1\nindex {index}\nA+/=\n\n{note}".encode()
        for index in range(2)
        for note in (
            "board.test/1\n2\nAA=\n\n\u2014 board.test/1 AAA=\n",
            'quoted "\\" \u00e9\n\n\n',
        )
    ]
    assert list(json_of_proofs(proofs)) == [json.dumps(proof.decode()) for proof in proofs]


class Anything:
    """Takes whatever there is."""

    def most_bytes(self, kind: str) -> int:
        return 10

    def take(self, kind: str, body: bytes, respond: Respond) -> None:
        respond(Response(None, 204))


def test_only_small_bodies_of_known_length_at_known_paths_take_the_short_way() -> None:
    """Who asks too often does not either: tests/attacks/test_load_attacks.py."""
    requests = Requests(Metrics(), Callers())
    follower = Follower(requests=requests, observe=lambda _: None, log_requests=False)
    taker = Anything()
    short = ShortWay({b"/here": taker}, follower)
    kind, length = (b"content-type", b"text/plain"), (b"content-length", b"4")
    whole = Announced("/here", taker, "text/plain", 4)
    assert find_announced(short, b"/here", [kind, length]) == whole
    assert find_announced(short, b"/there", [kind, length]) is None
    assert find_announced(short, b"/here", [kind]) is None
    assert find_announced(short, b"/here", [kind, (b"content-length", b"11")]) is None
    assert find_announced(short, b"/here", [kind, length, (b"expect", b"100-continue")]) is None
