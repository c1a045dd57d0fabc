# SPDX-License-Identifier: Apache-2.0
"""`/v1/cosignatures/SIZE`: what is signed over a size, for the other operators."""

import asyncio
from asyncio import to_thread
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.node.api.answers import answer_bytes
from fieldpost.node.api.log import TEXT
from fieldpost.node.api.requests import path_number, query_int
from fieldpost.node.api.service_of import service_of

MOST_WAIT_S: Final = 2

# See Engine.when_cosigned.
WhenCosigned = Callable[[int, Callable[[], None]], Callable[[], None]]


async def cosignatures(request: Request) -> Response:
    """A signed note over that size; more lines, and later ones, may come.

    404 where nothing is signed here, yet or any more. With `?wait=SECONDS` the answer comes once
    this operator has signed that size or a larger one, or after so long (at most 2 s).
    """
    service, size = service_of(request), path_number(request, "size")
    wait_s = min(query_int(request, "wait") or 0, MOST_WAIT_S)
    if wait_s > 0:
        await until_signed(service.when_cosigned, size, wait_s)
    note = await to_thread(service.cosigned, size)
    return answer_bytes(request, note, content_type=TEXT, cache="no-cache, no-transform")


async def until_signed(when_cosigned: WhenCosigned, size: int, wait_s: float) -> None:
    """Wait until the operator here has signed `size`, but no longer than `wait_s` seconds."""
    loop, signed = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        with suppress(RuntimeError):  # the server ended meanwhile
            loop.call_soon_threadsafe(signed.set)

    forget = when_cosigned(size, tell)
    try:
        await asyncio.wait_for(signed.wait(), wait_s)
    except TimeoutError:
        pass  # what there is by now is the answer
    finally:
        forget()


routes = [Route("/v1/cosignatures/{size}", cosignatures)]
