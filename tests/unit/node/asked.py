# SPDX-License-Identifier: Apache-2.0
"""One request to an ASGI application in this process: no socket, no server, no thread of ours."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message

from fieldpost.node.app import Node
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.tlog.tiles import FULL_WIDTH, decode_entry_bundle, entries_path, tile_at

Headers = Sequence[tuple[bytes, bytes]]
STRANGER = "203.0.113.9"
_TURNS = 5
"""Of the loop after a piece, in which timers are heard that are due by then."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back. `took` counts the pieces of the body that the application asked for."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    took: int


class Hold:
    """The end of a body that is held back: `reached` is set there, and `go` lets it come."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.go = asyncio.Event()


def path_of(raw: bytes) -> str:
    """A path as servers decode it: what is no UTF-8 does not end them."""
    return unquote_to_bytes(raw).decode("utf-8", "replace")


async def ask(
    app: ASGIApp,
    method: str,
    target: bytes,
    *,
    headers: Headers = (),
    body: Iterable[bytes] = (),
    client: str = STRANGER,
    hold: Hold | None = None,
) -> Answered:
    """Ask as a server does: `target` is path and query, `headers` have names in lower case.

    The body's pieces come one at a time between those of others, and its end not before
    `hold` lets it.
    """
    path, _, query = target.partition(b"?")
    pieces: Iterator[bytes] = iter(body)
    sent: list[Message] = []
    took = 0

    async def receive() -> Message:
        nonlocal took
        await asyncio.sleep(0)
        piece = next(pieces, None)
        took += piece is not None
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if piece is None and hold is not None:
            hold.reached.set()
            await hold.go.wait()
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path_of(path),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(headers),
        "client": (client, 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    try:
        await app(scope, receive, send)
    except Exception:
        # Where it answered 500, the framework raises again what happened, for the server's log.
        if not sent or sent[0].get("status") != 500:
            raise
    start = sent[0]
    return Answered(
        status=int(start["status"]),
        headers=dict(start["headers"]),
        body=b"".join(message.get("body", b"") for message in sent[1:]),
        took=took,
    )


def world_of(node: Node) -> MirroredBoard:
    """A maker who acts on the board of a node in this process; `post` is how."""
    service = node.app.state.node

    def entries() -> Iterator[bytes]:
        size = service.head().size
        for index in range(-(-size // FULL_WIDTH)):
            path = entries_path(tile_at(level=0, index=index, size=size))
            yield from decode_entry_bundle(service.log_file(path))

    return MirroredBoard(entries)


async def post(node: Node, world: MirroredBoard, entry: bytes) -> None:
    """Post, and follow the board."""
    kind = [(b"content-type", b"application/cose")]
    answered = await ask(node.app, "POST", b"/v1/posts", headers=kind, body=[entry])
    assert answered.status == 200, answered.body
    world.refresh()
