# SPDX-License-Identifier: Apache-2.0
"""Bytes to a server and back, without a socket: its own protocol, parser and limits over its app.

What a socket would do to the bytes is done here: they come in pieces, and a client that owes the
rest of a request goes away in the end. Everything else is what `fieldpost.node.server` runs.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.applications import Starlette
from uvicorn.server import ServerState

from fieldpost.node.config import Limits
from fieldpost.node.protocol import LimitedProtocol
from fieldpost.node.server import server_config

ADDRESS: Final = ("127.0.0.1", 1)
PLACES: Final = 64
WAIT_S: Final = 120
"""For an answer that an application owes; a request that takes longer hangs."""


class Transport(asyncio.Transport):
    """The other end of a connection: takes whatever is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ADDRESS, "sockname": ADDRESS})
        self.written = bytearray()
        self.moved = asyncio.Event()
        self._is_closing = False

    def write(self, data: Any) -> None:
        """See asyncio."""
        self.written += data
        self.moved.set()

    def is_closing(self) -> bool:
        """See asyncio."""
        return self._is_closing

    def close(self) -> None:
        """See asyncio."""
        self._is_closing = True
        self.moved.set()

    def abort(self) -> None:
        """See asyncio."""
        self.close()

    def pause_reading(self) -> None:
        """See asyncio: all that comes is here already."""

    def resume_reading(self) -> None:
        """See asyncio."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See asyncio: nothing ever waits."""

    def get_write_buffer_size(self) -> int:
        """See asyncio."""
        return 0


@dataclass(frozen=True, slots=True)
class Heard:
    """All that came back, and whether the connection is at its end."""

    data: bytes
    is_over: bool


class Wire:
    """Connections to one application, one after the other. Made and used on one event loop."""

    def __init__(self, app: Starlette, limits: Limits) -> None:
        config = server_config(app, limits, places=PLACES)
        config.load()
        self._state = ServerState()
        self._state.default_headers = config.encoded_headers
        self._config = config
        self._protocol: LimitedProtocol | None = None
        self._transport = Transport()

    async def ask(self, pieces: Sequence[bytes]) -> Heard:
        """Send, on the connection that is there if one is, and wait until nothing is owed."""
        if self._protocol is None:
            kind: Any = self._config.http_protocol_class
            made: LimitedProtocol = kind(
                config=self._config, server_state=self._state, app_state={}
            )
            self._protocol, self._transport = made, Transport()
            made.connection_made(self._transport)
        protocol, transport = self._protocol, self._transport
        for piece in pieces:
            if transport.is_closing():
                break
            protocol.data_received(piece)
            await asyncio.sleep(0)
        await self._settle(protocol, transport)
        data, is_over = bytes(transport.written), transport.is_closing()
        transport.written.clear()
        if is_over:
            self.hang_up()
        return Heard(data, is_over)

    def hang_up(self) -> None:
        """The client goes away."""
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(None)

    async def _settle(self, protocol: LimitedProtocol, transport: Transport) -> None:
        """Wait for all that is under way; whoever waits for more of the request waits in vain."""
        while True:
            tasks = set(self._state.tasks)
            cycle: Any = protocol.cycle
            owes = not (tasks or transport.is_closing() or cycle is None or cycle.response_complete)
            is_between = protocol._is_between
            if not is_between and not transport.is_closing():
                transport.close()
            if transport.is_closing():
                self.hang_up()  # as the event loop tells a protocol whose connection ends
            elif owes:
                transport.moved.clear()
                await asyncio.wait_for(transport.moved.wait(), WAIT_S)
                continue
            if not tasks:
                return
            done, _ = await asyncio.wait(tasks, timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise TimeoutError(f"nothing was answered in {WAIT_S} s")
