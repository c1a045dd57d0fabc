# SPDX-License-Identifier: Apache-2.0
"""Prepared answers leave from the protocol; nobody can tell them from the application's.

A request with `Content-Length: 0` asks for the same and is never answered the short way, so it
shows what the application says.
"""

import re
import socket
from contextlib import closing, suppress

import pytest
from starlette.responses import Response

from fieldpost.node import fast
from fieldpost.node.fast import LIFE_S, FastAnswers
from fieldpost.testing.mirror import MirroredBoard
from tests.unit.node.running_node import Running, publish, with_class

LONG_WAY = "Content-Length: 0\r\n"


def path_of(world: MirroredBoard) -> str:
    return f"/v1/checkin/{world.maker.class_id('tracker').hex()}/stable"


def request(path: str, *, method: str = "GET", fields: str = "", version: str = "1.1") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: node\r\n{fields}\r\n".encode()


def exchange(node: Running, *requests: bytes, count: int | None = None) -> list[bytes]:
    """Send everything at once on one connection; the answers, dates removed."""
    port = int(node.url.rpartition(":")[2])
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as connection:
        connection.sendall(b"".join(requests))
        with connection.makefile("rb") as stream:
            return [read_answer(stream, sent) for sent in requests[:count]]


def read_answer(stream: object, sent: bytes) -> bytes:
    assert hasattr(stream, "readline")
    assert hasattr(stream, "read")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        assert line, "the connection ended inside an answer"
        head += line
    length = re.search(rb"content-length: (\d+)", head)
    has_body = length is not None and not sent.startswith(b"HEAD") and b" 304 " not in head[:20]
    body = stream.read(int(length[1])) if length is not None and has_body else b""
    return re.sub(rb"date: [^\r]*\r\n", b"", head) + bytes(body)


def counted(node: Running, name: str) -> int:
    text = node.metrics.render()
    found = re.findall(rf"^{re.escape(name)} (\d+)$", text, re.MULTILINE)
    return int(found[0]) if found else 0


def long_ways(node: Running) -> int:
    """How many check-ins the application answered."""
    return sum(
        counted(node, f'fieldpost_requests_total{{noun="checkin",status="{status}"}}')
        for status in ("2xx", "3xx", "4xx")
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "asked", [None, "{tag}", "W/{tag}", '"other", {tag}', "*", '"other"', "garbage"]
)
def test_the_short_way_answers_as_the_application_does(
    node: Running, monkeypatch: pytest.MonkeyPatch, method: str, asked: str | None
) -> None:
    # What is prepared is still there however slow the machine is.
    monkeypatch.setattr(fast, "LIFE_S", 3_600.0)
    path = path_of(with_class(node))
    tag = node.http.send("GET", path).headers["etag"]
    fields = "" if asked is None else f"If-None-Match: {asked.format(tag=tag)}\r\n"
    # The first one prepares the second, whatever it asks.
    (long,) = exchange(node, request(path, method=method, fields=fields + LONG_WAY))
    before = long_ways(node)
    (short,) = exchange(node, request(path, method=method, fields=fields))
    assert short == long
    assert long_ways(node) == before, "it really was the short way"
    assert counted(node, "fieldpost_checkins_total") >= 2


def test_answers_keep_the_order_of_pipelined_requests(node: Running) -> None:
    path = path_of(with_class(node))
    node.http.send("GET", path)
    plain, other = request(path), request("/v1/board")
    answers = exchange(node, plain, other, plain, plain, other, plain)
    assert [b'"operators"' in answer for answer in answers] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    assert len({answers[0], answers[2], answers[3], answers[5]}) == 1


def test_a_connection_serves_many_requests_one_after_the_other(node: Running) -> None:
    path = path_of(with_class(node))
    port = int(node.url.rpartition(":")[2])
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as connection:
        stream = connection.makefile("rb")
        seen = set()
        for number in range(50):
            sent = request(path, fields=LONG_WAY if number % 7 == 0 else "")
            connection.sendall(sent)
            seen.add(read_answer(stream, sent))
        stream.close()
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (lambda path: request(path, version="1.0"), 200),
        (lambda path: request(path, fields="Connection: close\r\n"), 200),
        (lambda path: request(f"{path}?x=1"), 200),
        (lambda path: request(path.replace("stable", "%73table")), 200),
        (lambda path: request(path, method="POST"), 405),
        (lambda path: request(path, fields="Expect: 100-continue\r\n" + LONG_WAY), 200),
        (lambda path: request(path + "/"), 307),
        (lambda path: request(path + "x"), 404),
    ],
)
def test_whatever_is_not_plain_takes_the_long_way(node: Running, sent: object, status: int) -> None:
    assert callable(sent)
    path = path_of(with_class(node))
    node.http.send("GET", path)
    before = long_ways(node)
    (answer,) = exchange(node, sent(path))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert long_ways(node) == before + 1


def test_what_was_published_is_in_the_next_answer(node: Running) -> None:
    world = with_class(node)
    path = path_of(world)
    seen = {exchange(node, request(path), request(path))[1]}
    for sequence in range(10, 14):
        publish(node, world, sequence)
        seen.add(exchange(node, request(path))[0])
    assert len(seen) == 5


def test_limits_hold_on_the_short_way_too(node: Running) -> None:
    path = path_of(with_class(node))
    node.http.send("GET", path)
    port = int(node.url.rpartition(":")[2])
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as connection:
        connection.sendall(request(path, fields=f"X: {'x' * 20_000}\r\n"))
        with suppress(ConnectionResetError):
            assert connection.recv(100) == b""


def answers() -> tuple[Response, Response]:
    return Response(b"body", headers={"ETag": '"1"'}), Response(None, 304, {"ETag": '"1"'})


def keep(fast: FastAnswers, path: bytes = b"/a", *, now: float = 5.0, generation: int = 0) -> None:
    full, unchanged = answers()
    fast.keep(path, full=full, unchanged=unchanged, etag='"1"', now=now, generation=generation)


def find(fast: FastAnswers, path: bytes = b"/a", *, now: float = 5.0) -> bytes | None:
    general = [(b"date", b"today")]
    return fast.find(path, is_head=False, if_none_match=None, general=general, now=now)


def test_an_answer_is_given_for_a_second() -> None:
    fast = FastAnswers(10)
    keep(fast, now=5.0)
    assert find(fast, now=5.0 + LIFE_S) is not None
    assert find(fast, now=5.1 + LIFE_S) is None


def test_an_answer_that_was_begun_before_something_was_published_is_not_kept() -> None:
    fast = FastAnswers(10)
    generation = fast.generation
    fast.forget()
    keep(fast, generation=generation)
    assert find(fast) is None
    keep(fast, generation=fast.generation)
    assert find(fast) is not None
    fast.forget()
    assert find(fast) is None


def test_strangers_cannot_fill_the_memory() -> None:
    fast = FastAnswers(2)
    for path in (b"/a", b"/%61", b"/b", b"/c"):
        keep(fast, path)
    assert [find(fast, path) is not None for path in (b"/a", b"/%61", b"/b", b"/c")] == [
        True,
        False,
        True,
        False,
    ]
