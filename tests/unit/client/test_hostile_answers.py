# SPDX-License-Identifier: Apache-2.0
"""Answers that are made to break their reader: each is an expected error, never another exception.

Anybody between a device and its board can send these, so none may end the program.
"""

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.client.answers import PROBLEM, Response, error_of, parse_count, retry_after_s
from fieldpost.client.transport import HttpClient
from fieldpost.errors import FieldpostError, Unavailable


def problem(body: bytes) -> FieldpostError:
    return error_of(503, {"content-type": PROBLEM}, body)


def test_a_problem_document_nested_without_end_is_one_that_says_nothing() -> None:
    assert isinstance(problem(b"[" * 65_536), Unavailable)
    assert isinstance(problem(b'{"a":' * 13_000), Unavailable)


def test_an_answer_nested_without_end_is_no_answer() -> None:
    with pytest.raises(Unavailable, match="not JSON"):
        Response(200, {}, b"[" * 200_000).json()


def test_words_of_a_server_can_be_saved_and_shown() -> None:
    """A lone surrogate has no UTF-8, and an escape sequence would command a terminal."""
    words = str(problem(b'{"detail": "\\ud800 \\u001b[2J\\u0000 gone \\u00fcber"}'))
    assert words == "? ?[2J? gone über"
    words.encode()


@pytest.mark.parametrize(
    "value",
    [
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2020 00:00:00 +99999999999999",
        "1 Jan 2020 99999999999999999999:00:00",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "9" * 60_000,
        "\xb2",
    ],
)
def test_a_strange_retry_after_is_at_most_a_wish(value: str) -> None:
    asked = retry_after_s({"retry-after": value})
    assert asked is None or 0 <= asked <= 86_400


@given(st.text(max_size=60))
def test_any_retry_after_is_read_or_ignored(value: str) -> None:
    asked = retry_after_s({"retry-after": value})
    assert asked is None or 0 <= asked <= 86_400


@pytest.mark.parametrize("text", ["\xb2", "9" * 5_000, "-1", "", "1_0", " 1", "٣"])
def test_a_count_is_plain_digits(text: str) -> None:
    assert parse_count(text) is None
    assert parse_count("0" + "17") == 17


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        b"HTTP/1.1 206 OK\r\nContent-Range: bytes \xb2-3/9\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 206 OK\r\nContent-Range: bytes 2-3/"
        + b"9" * 5_000
        + b"\r\nContent-Length: 99\r\n\r\n",
    ],
)
def test_a_length_that_is_no_number_is_unknown_or_a_failure_of_the_network(head: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(head)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            assert _total_of(url) in (None, "unavailable")
        finally:
            thread.join()


def _total_of(url: str) -> int | str | None:
    try:
        with (
            HttpClient(url, timeout_s=2) as client,
            client.stream("/x", offset=2, most_bytes=10) as body,
        ):
            list(body.chunks)
            return body.total
    except Unavailable:
        return "unavailable"


@pytest.mark.parametrize("url", ["http://a..b", "http://" + "a" * 70 + ".example"])
def test_a_host_that_has_no_form_on_the_wire_cannot_be_reached(url: str) -> None:
    with HttpClient(url, timeout_s=1) as client, pytest.raises(Unavailable):
        client.fetch("/")
