# SPDX-License-Identifier: Apache-2.0
"""What came back over a connection, read strictly, or only its status lines."""

import re
from dataclasses import dataclass
from typing import Final

_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_NO_BODY: Final = frozenset({204, 304})


class NotOneAnswer(Exception):
    """The bytes are no answer, or more than one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; names of headers in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def read_answer(data: bytes, *, is_head: bool) -> Answer:
    """The one answer that `data` is. Raises NotOneAnswer."""
    head, end, rest = data.removeprefix(_CONTINUE).partition(b"\r\n\r\n")
    status = _STATUS.match(head)
    lines = head.split(b"\r\n")[1:]
    rows = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]
    if not (end and status) or any(b"\n" in value or b"\r" in value for _, value in rows):
        raise NotOneAnswer(f"no answer: {data[:200]!r}")
    headers, number = dict(rows), int(status[1])
    if len(headers) != len(rows):
        raise NotOneAnswer(f"a header twice: {rows}")
    if is_head or number in _NO_BODY:
        body = b""
    elif headers.get(b"transfer-encoding") == b"chunked":
        body, rest = _chunks(rest)
    else:
        size = int(headers.get(b"content-length", b"0"))
        body, rest = rest[:size], rest[size:]
        if len(body) != size:
            raise NotOneAnswer(f"{len(body)} bytes of a body of {size}")
    if rest:
        raise NotOneAnswer(f"after an answer came {rest[:200]!r}")
    return Answer(number, headers, body)


def read_statuses(data: bytes) -> list[int]:
    """The statuses of all answers, whichever requests they belong to."""
    return [int(number) for number in _STATUS.findall(data)]


def _chunks(data: bytes) -> tuple[bytes, bytes]:
    parts: list[bytes] = []
    while True:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        parts.append(data[:size])
        if data[size : size + 2] != b"\r\n":
            raise NotOneAnswer("a chunk without its end")
        data = data[size + 2 :]
        if not size:
            return b"".join(parts), data
