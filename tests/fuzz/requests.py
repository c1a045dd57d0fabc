# SPDX-License-Identifier: Apache-2.0
"""HTTP requests changed in some of their parts, and then as bytes.

A part that was changed still is one: a target is printable ASCII, a header has no line breaks. What
is no request any more comes of changing the bytes of the head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final
from urllib.parse import quote_from_bytes

from tests.fuzz.mutations import mutate

_TARGET_BYTES: Final = 4_000
_HEADER_BYTES: Final = 2_000
_METHODS: Final = (
    *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"),
    *("PROPFIND", "get", "X"),
)
_NAMES: Final = (
    *(b"accept", b"accept-encoding", b"authorization", b"content-encoding", b"content-length"),
    *(b"content-type", b"cookie", b"expect", b"forwarded", b"host", b"if-match", b"if-none-match"),
    *(b"if-modified-since", b"if-range", b"range", b"transfer-encoding", b"upgrade"),
    *(b"upload-complete", b"upload-offset", b"x-forwarded-for", b"x-request-id"),
)
_VALUES: Final = (
    *(b"", b"*", b"*/*", b"0", b"-1", b"?0", b"?1", b"bytes=0-", b"bytes=-1", b"bytes=5-3"),
    *(b"bytes=0-0,2-3", b"bytes=999999999999999999999-", b"99999999999999999999", b"Bearer "),
    *(b"Bearer AAAA", b"chunked", b"gzip", b"100-continue", b"application/cbor", b"text/html"),
    *(b"application/cose; charset=utf-8", b'"x"', b'W/"x"', b"\xff\xfe", b"a" * 1_900),
)
_SEGMENTS: Final = (
    *(b"", b".", b"..", b"%2e%2e", b"%2F", b"%00", b"%", b"%zz", b"%FF", b"//", b"a" * 1_500),
    *(b"0" * 32, b"0" * 64, b"F" * 64, b"v1", b"tile", b"x000", b"%D9%A3", b"stable"),
)
_FRAMING: Final = frozenset(
    {b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade"}
)
_FRAMES: Final = (
    *(
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"\n\n",
        b"\r",
        b" ",
        b"\t",
        b"\0",
        b":",
        b"HTTP/1.0",
        b"HTTP/2.0",
    ),
    *(b"Content-Length: 0\r\n", b"content-length : 5\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Transfer-Encoding: x, chunked\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\n"),
    *(b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"Host: another\r\n", b"0\r\n\r\n"),
    *(
        b"5;x=y\r\nhello\r\n",
        b"GET / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"x" * 17_000,
    ),
)
_NUMBERS: Final = (b"", b"-1", b"-2", b"0", b"1", b"00", b"+1", b"1e3", b"9" * 18, b"9" * 40)


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `query` is what stands after `?`; empty without one."""

    method: str
    path: bytes
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    pieces: int = 1

    @property
    def target(self) -> bytes:
        """Path and query."""
        return self.path + (b"?" + self.query if self.query else b"")

    def parts(self) -> list[bytes]:
        """The body, in as many parts as it comes in."""
        size = max(1, -(-len(self.body) // self.pieces))
        return [self.body[at : at + size] for at in range(0, len(self.body), size)]

    def head(self) -> bytes:
        """Request line and headers, with Host and Content-Length unless there are some."""
        names = {name for name, _ in self.headers}
        lines = [self.method.encode() + b" " + self.target + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers]
        if b"host" not in names:
            lines.append(b"host: board")
        if self.body and not names & {b"content-length", b"transfer-encoding"}:
            lines.append(b"content-length: %d" % len(self.body))
        return b"\r\n".join((*lines, b"", b""))


def pieces_of(request: Request) -> list[bytes]:
    """The bytes of a request as they come; the first part of the body together with the head."""
    first, *rest = request.parts() or [b""]
    return [request.head() + first, *rest]


def is_framed_plainly(request: Request) -> bool:
    """Whether its bytes are one request to everybody, and the connection goes on after it."""
    # After CONNECT come bytes of another protocol: a body that comes later ends the connection.
    names = {name for name, _ in request.headers}
    return request.method != "CONNECT" and not names & _FRAMING


def mutate_head(random: Random, request: Request) -> list[bytes]:
    """The bytes of a request whose head is changed as bytes, or of which there are two at once."""
    first, *rest = pieces_of(request)
    match random.randrange(4):
        case 0:
            return [first + b"".join(rest)] * random.choice((1, 2, 3)) + [first[: len(first) // 2]]
        case 1:
            at = random.randrange(len(first))
            return [first[:at], first[at:], *rest]
        case _:
            head = request.head()
            return [mutate(random, head, (*_FRAMES, head)) + first[len(head) :], *rest]


def mutate_request(
    random: Random, request: Request, kin: Sequence[Request], others: Sequence[bytes]
) -> Request:
    """`request` changed in one to three parts, with pieces of its `kin` and of other artefacts."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        kind = random.random()
        if request.body and random.random() < 0.5:
            request = _change_body(random, request, others)
        elif kind < 0.1:
            request = replace(request, method=random.choice(_METHODS))
        elif kind < 0.5:
            request = replace(request, path=_change_path(random, request.path, kin))
        elif kind < 0.7:
            request = replace(request, query=_change_query(random, request.query, kin))
        else:
            request = replace(request, headers=_change_headers(random, request.headers, kin))
    return request


def _change_body(random: Random, request: Request, others: Sequence[bytes]) -> Request:
    match random.randrange(12):
        case 0:
            return replace(request, pieces=random.choice((1, 2, 7, 500)))
        case 1:
            return replace(request, body=request.body * random.choice((0, 2, 3)))
        case 2:
            return replace(request, body=random.choice(others))
        case _:
            return replace(request, body=mutate(random, request.body, others))


def _change_path(random: Random, path: bytes, kin: Sequence[Request]) -> bytes:
    segments = path.split(b"/")
    at = random.randrange(1, len(segments))
    match random.randrange(8):
        case 0:
            segments.insert(at, random.choice(_SEGMENTS))
        case 1:
            del segments[at]
        case 2:
            segments[at] = random.choice(_SEGMENTS)
        case 3 | 4:
            segments[at] = random.choice(random.choice(kin).path.split(b"/"))
        case 5:
            segments.append(b"")
        case _:
            segments[at] = mutate(random, segments[at], _SEGMENTS)
    return _quoted(b"/" + b"/".join(segments).lstrip(b"/"))


def _change_query(random: Random, query: bytes, kin: Sequence[Request]) -> bytes:
    pairs = query.split(b"&") if query else []
    pairs += [b"since=", b"maker=", b"from=", b"to=", b"since=&since=", b"x=y"]
    name = random.choice(pairs).partition(b"=")[0]
    value = random.choice((*_NUMBERS, *random.choice(kin).path.split(b"/")))
    match random.randrange(4):
        case 0:
            return _quoted(mutate(random, query, _NUMBERS))
        case 1:
            return _quoted(b"&".join((query, name + b"=" + value)).strip(b"&"))
        case _:
            return _quoted(name + b"=" + value)


def _change_headers(
    random: Random, headers: tuple[tuple[bytes, bytes], ...], kin: Sequence[Request]
) -> tuple[tuple[bytes, bytes], ...]:
    rows = list(headers)
    others = [row for request in kin for row in request.headers]
    if rows and random.random() < 0.6:
        at = random.randrange(len(rows))
        name, value = rows[at]
        match random.randrange(5):
            case 0:
                del rows[at]
            case 1:
                rows.append(rows[at])
            case 2:
                rows[at] = name, random.choice(_VALUES)
            case _:
                rows[at] = name, mutate(random, value, _VALUES)
    elif others and random.random() < 0.3:
        rows.append(random.choice(others))
    else:
        rows.append((random.choice(_NAMES), random.choice(_VALUES)))
    return tuple((name, _plain(value)) for name, value in rows)


def _quoted(target: bytes) -> bytes:
    return quote_from_bytes(target[:_TARGET_BYTES], safe="/%&=+-._~!$'()*,;:@").encode()


def _plain(value: bytes) -> bytes:
    return value.translate(None, b"\r\n\0")[:_HEADER_BYTES].strip()
