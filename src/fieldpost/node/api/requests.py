# SPDX-License-Identifier: Apache-2.0
"""Reading requests: bodies within limits of bytes and time, and ids out of paths.

A client that stops sending is cut off after some silence, one that drips after a total.
"""

import asyncio
import re
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from starlette.requests import ClientDisconnect, Request

from fieldpost.errors import Malformed, NotFound, Unavailable
from fieldpost.node.api.problems import TooLarge, TooSlow, WrongType
from fieldpost.node.bodies import body_of

_NUMBER: Final = frozenset("0123456789")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEX: Final = frozenset("0123456789abcdef")


def check_type(request: Request, *admitted: str) -> str:
    """The request's content type, one of `admitted`. Raises WrongType."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in admitted:
        raise WrongType(f"content type {kind or 'missing'!r}; send {' or '.join(admitted)}")
    return kind


async def read_body(
    request: Request, *, most_bytes: int, silence_s: float, total_s: float
) -> bytes:
    """The whole body.

    Raises TooLarge, TooSlow, Unavailable if the client went away or there is no room for it
    (`fieldpost.node.bodies`).
    """
    # Not a list of parts: each may be one byte, which costs forty as an object.
    data = bytearray()
    async for part in _parts(request, most_bytes=most_bytes, silence_s=silence_s, total_s=total_s):
        data += part
    body_of(request.scope).release()
    return bytes(data)


async def stream_body(
    request: Request, *, most_bytes: int, silence_s: float, total_s: float
) -> AsyncIterator[bytes]:
    """The body in the pieces in which it comes. Raises as `read_body`, before the first surplus.

    Each piece is held until the next one is asked for.
    """
    async for part in _parts(request, most_bytes=most_bytes, silence_s=silence_s, total_s=total_s):
        yield part
        body_of(request.scope).pass_on(len(part))


async def _parts(
    request: Request, *, most_bytes: int, silence_s: float, total_s: float
) -> AsyncIterator[bytes]:
    announced = request.headers.get("content-length", "")
    if announced and (not set(announced) <= _NUMBER or int(announced[:18]) > most_bytes):
        raise TooLarge(f"a body of {announced[:18]} bytes; at most {most_bytes} are taken here")
    count = 0
    stream = request.stream().__aiter__()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + total_s
    body = body_of(request.scope)
    while True:
        body.check()
        patience = min(silence_s, deadline - loop.time())
        try:
            async with asyncio.timeout(max(patience, 0.001)) as time:
                with body.refused_by(partial(_end, time)):
                    part = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            body.check()
            raise TooSlow(f"the body stopped after {count} bytes") from error
        except ClientDisconnect as error:
            raise Unavailable("the client went away") from error
        count += len(part)
        if count > most_bytes:
            raise TooLarge(f"a body of more than {most_bytes} bytes")
        if part:
            yield part


def _end(time: asyncio.Timeout) -> None:
    if not time.expired():
        time.reschedule(0.0)


def bearer_token(request: Request, *, most_bytes: int) -> bytes | None:
    """The bearer token of a request (RFC 6750), base64url without padding; None without one.

    Raises Malformed.
    """
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    if len(text) > (most_bytes + 2) // 3 * 4 or not _BASE64URL.fullmatch(text):
        raise Malformed(f"a token is base64url without padding, of at most {most_bytes} bytes")
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise Malformed("a token is base64url without padding") from error


def path_bytes(request: Request, name: str, length: int) -> bytes:
    """A path parameter as `length` bytes of lower-case hex. Raises NotFound: no such thing."""
    text = str(request.path_params[name])
    if len(text) != 2 * length or not set(text) <= _HEX:
        raise NotFound(f"{text[:80]!r} is no id of {2 * length} lower-case hex digits")
    return bytes.fromhex(text)


def path_number(request: Request, name: str) -> int:
    """A path parameter as a number ≥ 0 without needless zeros. Raises NotFound."""
    text = str(request.path_params[name])
    if not text or not set(text) <= _NUMBER or len(text) > 18 or text != str(int(text)):
        raise NotFound(f"{text[:40]!r} is no number")
    return int(text)


def query_bytes(request: Request, name: str, length: int) -> bytes | None:
    """Bytes in lower-case hex out of the query; None if absent. Raises Malformed."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if len(text) != 2 * length or not set(text) <= _HEX:
        raise Malformed(f"{name}={text[:80]!r} is no id of {2 * length} lower-case hex digits")
    return bytes.fromhex(text)


def query_int(request: Request, name: str) -> int | None:
    """An integer of the query, ≥ -1; None if it is absent. Raises Malformed."""
    text = request.query_params.get(name)
    if text is None:
        return None
    digits = text.removeprefix("-")
    if not digits or not set(digits) <= _NUMBER or len(digits) > 18 or int(text) < -1:
        raise Malformed(f"{name}={text[:40]!r} is no number")
    return int(text)
