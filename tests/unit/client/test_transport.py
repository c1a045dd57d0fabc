# SPDX-License-Identifier: Apache-2.0
"""What a client takes from a network that cannot be trusted: limits, and who must act."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from fieldpost.client.transport import HttpClient, split_url
from fieldpost.errors import (
    Conflict,
    FieldpostError,
    Malformed,
    Misconfigured,
    NotFound,
    Rejected,
    Unavailable,
    Untrusted,
)

Script = Callable[[socket.socket], None]


def read_request(connection: socket.socket) -> bytes:
    """Up to the blank line, and as much body as Content-Length says."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


@contextmanager
def server(*scripts: Script) -> Iterator[str]:
    """A raw TCP server: one script for each connection, in turn. Yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for script in scripts:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with closing(connection):
                try:
                    script(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(timeout=60)


def answer(status: str, headers: str = "", body: bytes = b"", *, length: bool = True) -> Script:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        size = f"Content-Length: {len(body)}\r\n" if length else ""
        connection.sendall(f"HTTP/1.1 {status}\r\n{size}{headers}\r\n".encode() + body)

    return script


def problem(status: str, json: str, headers: str = "") -> Script:
    return answer(status, "Content-Type: application/problem+json\r\n" + headers, json.encode())


def test_a_body_within_the_limits_is_returned() -> None:
    plain = answer("200 OK", "Content-Type: text/plain; charset=utf-8\r\n", b"hello")
    with server(plain) as url, HttpClient(url) as http:
        response = http.send("GET", "/x", accept="text/plain")
    assert (response.status, response.body, response.content_type) == (200, b"hello", "text/plain")


def say(*pieces: bytes) -> Script:
    """Answer with raw bytes."""

    def script(connection: socket.socket) -> None:
        read_request(connection)
        for piece in pieces:
            connection.sendall(piece)

    return script


def wait_for(stop: threading.Event) -> Script:
    """Accept, and say nothing."""

    def script(_connection: socket.socket) -> None:
        stop.wait(10)

    return script


PLAIN = "Content-Type: text/plain\r\n"
ENDLESS = [b"A: " + b"b" * 1000 + b"\r\n"] * 1000

NETWORK_FAILURES = {
    "a redirect": answer("302 Found", "Location: http://login.example/\r\n"),
    "a captive portal": answer("200 OK", "Content-Type: text/html\r\n", b"<html>log in"),
    "a captive portal's 404": answer("404 Not Found", "Content-Type: text/html\r\n", b"<html>"),
    "another content type": answer("200 OK", "Content-Type: image/png\r\n", b"x"),
    "no content type": answer("200 OK", "", b"x"),
    "an encoding": answer("200 OK", "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", b"x"),
    "a body that is announced too large": answer(
        "200 OK", "Content-Type: text/plain\r\n", b"x" * 101
    ),
    "a body that grows too large": answer(
        "200 OK", "Content-Type: text/plain\r\nConnection: close\r\n", b"x" * 101, length=False
    ),
    "a body that ends early": answer(
        "200 OK", "Content-Type: text/plain\r\nContent-Length: 50\r\n", b"x", length=False
    ),
    "headers without end": say(b"HTTP/1.1 200 OK\r\n", *ENDLESS[:99]),
    "trailers without end": say(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\n",
        *ENDLESS,
    ),
    "something that is no HTTP": say(b"220 mail.example\r\n"),
    "nothing": say(),
    "an error page": answer("500 Internal Server Error", "Content-Type: text/plain\r\n", b"oh"),
}


@pytest.mark.parametrize("what", NETWORK_FAILURES)
def test_what_a_network_can_do_to_an_answer_is_unavailable(what: str) -> None:
    script = NETWORK_FAILURES[what]
    with (
        server(script) as url,
        HttpClient(url, timeout_s=5) as http,
        pytest.raises(Unavailable),
    ):
        http.fetch("/x", accept="text/plain", most_bytes=100)


def test_a_server_that_sends_a_byte_now_and_then_does_not_hold_a_client() -> None:
    """No read is silent for long, but all of it together takes longer than allowed."""
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        read_request(connection)
        while not stop.wait(0.02):
            connection.sendall(b"H")

    with server(drip) as url, HttpClient(url, timeout_s=5, total_s=0.3) as http:
        with pytest.raises(Unavailable, match="too long"):
            http.fetch("/x")
        stop.set()


def test_a_silent_server_does_not_hold_a_client() -> None:
    stop = threading.Event()
    with server(wait_for(stop)) as url, HttpClient(url, timeout_s=0.1) as http:
        with pytest.raises(Unavailable):
            http.fetch("/x")
        stop.set()


def test_nobody_listening_is_unavailable() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable, match="cannot be reached"):
        HttpClient(f"http://127.0.0.1:{port}", timeout_s=5).fetch("/x")


ERRORS: dict[str, tuple[Script, type[FieldpostError]]] = {
    "malformed": (problem("400 Bad Request", '{"type":"/problems/malformed"}'), Malformed),
    "too large": (problem("413 Content Too Large", '{"type":"/problems/malformed"}'), Malformed),
    "rejected": (
        problem("422 x", '{"type":"/problems/rejected","code":7,"name":"stale-nonce"}'),
        Rejected,
    ),
    "untrusted": (
        problem("422 x", '{"type":"/problems/untrusted","reason":"bad-signature"}'),
        Untrusted,
    ),
    "not found": (problem("404 Not Found", '{"type":"/problems/not-found"}'), NotFound),
    "not found, without a word": (answer("404 Not Found"), NotFound),
    "conflict": (problem("409 x", '{"type":"/problems/conflict","current":"17"}'), Conflict),
    "busy": (problem("503 x", '{"type":"/problems/unavailable"}'), Unavailable),
    "a document that is none": (problem("503 x", "["), Unavailable),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_problem_becomes_the_family_that_it_names(name: str) -> None:
    script, family = ERRORS[name]
    with server(script) as url, HttpClient(url) as http, pytest.raises(family) as caught:
        http.fetch("/x")
    assert type(caught.value) is family


def test_details_of_a_problem_are_kept() -> None:
    document = (
        '{"type":"/problems/rejected","code":7,"name":"stale-nonce","detail":"nonce 3",'
        '"next":"ask for the nonce"}'
    )
    busy = problem("503 x", "{}", "Retry-After: 120\r\n")
    taken = problem("409 x", '{"type":"/problems/conflict","current":"17"}')
    with server(problem("422 x", document), busy, taken) as url:
        with HttpClient(url) as http, pytest.raises(Rejected) as refused:
            http.fetch("/x")
        with HttpClient(url) as http, pytest.raises(Unavailable) as later:
            http.fetch("/x")
        with HttpClient(url) as http, pytest.raises(Conflict) as conflict:
            http.fetch("/x")
    assert (refused.value.code, refused.value.name) == (7, "stale-nonce")
    assert "nonce 3; ask for the nonce" in refused.value.detail
    assert later.value.retry_after_s == 120
    assert conflict.value.current == "17"


def test_a_retry_after_that_lies_is_at_most_a_day() -> None:
    liar = problem("503 x", "{}", "Retry-After: 99999999999999\r\n")
    with server(liar) as url, HttpClient(url) as http, pytest.raises(Unavailable) as later:
        http.fetch("/x")
    assert later.value.retry_after_s == 86_400


def test_a_connection_is_kept_and_made_anew_when_the_server_ended_it() -> None:
    seen: list[bytes] = []

    def serve_twice(connection: socket.socket) -> None:
        for _ in range(2):
            seen.append(read_request(connection))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with server(serve_twice, serve_twice) as url, HttpClient(url) as http:
        for _ in range(3):
            assert http.send("POST", "/x", b"body").body == b"ok"
    assert [request[-4:] for request in seen if request] == [b"body"] * 3


def test_a_download_is_resumed_where_it_stopped() -> None:
    rest = answer("206 Partial Content", "Content-Range: bytes 4-9/10\r\n", b"efghij")
    with (
        server(rest) as url,
        HttpClient(url) as http,
        http.stream("/blob", offset=4, most_bytes=10) as download,
    ):
        assert (download.start, download.total) == (4, 10)
        assert b"".join(download.chunks) == b"efghij"


def test_a_server_without_ranges_starts_again_and_says_so() -> None:
    with (
        server(answer("200 OK", "", b"abcdefghij")) as url,
        HttpClient(url) as http,
        http.stream("/blob", offset=4, most_bytes=10) as download,
    ):
        assert (download.start, download.total) == (0, 10)


BAD_RANGES = {
    "another place": answer("206 x", "Content-Range: bytes 0-5/10\r\n", b"abcdef"),
    "no place": answer("206 x", "", b"abcdef"),
    "a whole that is too large": answer("206 x", "Content-Range: bytes 4-9/1000\r\n", b"efghij"),
}


@pytest.mark.parametrize("what", BAD_RANGES)
def test_a_range_that_was_not_asked_for_is_refused(what: str) -> None:
    with (
        server(BAD_RANGES[what]) as url,
        HttpClient(url) as http,
        pytest.raises(Unavailable),
        http.stream("/blob", offset=4, most_bytes=10),
    ):
        pass


def test_a_download_that_breaks_off_gives_what_came_and_then_fails() -> None:
    cut = answer("200 OK", "Content-Length: 10\r\n", b"abcd", length=False)
    with (
        server(cut) as url,
        HttpClient(url) as http,
        http.stream("/blob", most_bytes=10) as download,
    ):
        assert next(download.chunks) == b"abcd"
        with pytest.raises(Unavailable):
            next(download.chunks)


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http:///x", "http://user@x/", "http://x y/", "http://x:port/", "x", ""]
)
def test_a_base_that_is_no_http_url_is_a_setting_to_fix(url: str) -> None:
    with pytest.raises(Misconfigured):
        HttpClient(url)


def test_a_url_splits_into_base_and_path() -> None:
    assert split_url("https://h.example:8443/a/b?c=d") == ("https://h.example:8443", "/a/b?c=d")
    assert split_url("http://h.example") == ("http://h.example", "/")
    with pytest.raises(Malformed):
        split_url("file:///etc/passwd")


def test_tls_with_whoever_speaks_none_is_told_as_that() -> None:
    with (
        server(lambda one: one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url,
        HttpClient(url.replace("http://", "https://")) as http,
        pytest.raises(Unavailable, match="it speaks no TLS; write http://"),
    ):
        http.send("GET", "/")
