# SPDX-License-Identifier: Apache-2.0
"""One connection of the real protocol and parser, on a loop that stands still."""

from collections.abc import Callable, Coroutine
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from fieldpost.node.bodies import Bodies
from fieldpost.node.config import Limits
from fieldpost.node.crowd import Crowd
from fieldpost.node.fast import FastAnswers
from fieldpost.node.gate import Gate
from fieldpost.node.protocol import LimitedProtocol, limited_protocol
from fieldpost.node.taking import ShortWay
from fieldpost.node.unsent import Unsent

KEEP_ALIVE_S = 75


class Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A clock that stands still, timers that wait for the test, tasks that nobody runs."""

    def __init__(self) -> None:
        self.now = 100.0
        self.tasks = 0
        self.timers: list[tuple[float, Callable[..., None], Timer]] = []
        self.soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[..., None], *_: Any) -> Timer:
        self.timers.append((delay, call, Timer()))
        return self.timers[-1][2]

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def turn(self) -> None:
        """Do what was to be done soon."""
        soon, self.soon = self.soon, []
        for call in soon:
            call()

    def create_task(self, work: Coroutine[Any, Any, None], **_: Any) -> "Loop":
        work.close()
        self.tasks += 1
        return self

    def add_done_callback(self, call: Callable[..., None]) -> None:
        """A task that nobody runs is never done."""


class Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.waiting = 0
        self.closing = False

    def get_extra_info(self, name: str) -> object:
        return ("203.0.113.9", 4711) if name == "peername" else None

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closing = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def set_write_buffer_limits(self, high: int) -> None:
        """A test says by itself when it is too much."""

    def resume_reading(self) -> None:
        """Nothing was paused."""

    pause_reading = resume_reading


class Deaf:
    """A parser that must not be asked."""

    def feed_data(self, data: bytes) -> None:
        raise AssertionError(f"parsed: {data!r}")


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Never run: a test counts that it would be."""


def connected(
    *,
    burst: int = 1_000,
    fast: FastAnswers | None = None,
    short: ShortWay | None = None,
    trusted: tuple[str, ...] = (),
) -> tuple[LimitedProtocol, Transport, Loop]:
    limits = Limits(client_requests_per_s=1, client_burst=burst)
    kind = limited_protocol(
        limits,
        gate=Gate.build(limits, trusted),
        crowd=Crowd(most=9, most_per_client=9),
        unsent=Unsent(limits),
        bodies=Bodies(limits),
        fast=fast,
        short=short,
    )
    config = uvicorn.Config(
        application, http=kind, lifespan="off", log_config=None, timeout_keep_alive=KEEP_ALIVE_S
    )
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"today")]
    loop, transport = Loop(), Transport()
    made: Any = kind
    protocol = made(config=config, server_state=state, app_state={}, _loop=loop)
    protocol.connection_made(transport)
    assert isinstance(protocol, LimitedProtocol)
    return protocol, transport, loop
