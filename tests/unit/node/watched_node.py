# SPDX-License-Identifier: Apache-2.0
"""A node and the witnesses of its board on loopback, each witness behind a relay that may lie."""

import threading
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from fieldpost.client.witness import fetch_cosigned
from fieldpost.engines.board_files import create_board
from fieldpost.errors import Unavailable
from fieldpost.records.board import Witness
from fieldpost.testing.relay import Relay
from fieldpost.tlog.checkpoint import open_checkpoint
from fieldpost.watch.witness.keys import make_keys
from fieldpost.watch.witness.sources import BoardSource
from tests.unit.node.running_node import NOW, Running, running
from tests.unit.watch.witness_world import ServedWitness, served

WAIT_S = 60
ORIGIN = "board.test/1"


def until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    event = threading.Event()
    for _ in range(20 * WAIT_S):
        if condition():
            return
        event.wait(0.05)
    raise AssertionError("it never came to be")


class Watched:
    """A board with `count` witnesses, of which `needed` must cosign; each behind a relay."""

    def __init__(self, folder: Path, stack: ExitStack, *, count: int, needed: int) -> None:
        self.folder = folder
        self.stack = stack
        self.relays = [stack.enter_context(Relay("http://127.0.0.1:9")) for _ in range(count)]
        keys = [make_keys(folder / f"w{n}", f"w{n}.test", post_quantum=False) for n in range(count)]
        self.board = create_board(
            folder / "board",
            now=NOW,
            origin=ORIGIN,
            witnesses=[
                Witness(key=key.vkeys()[0], url=relay.url)
                for key, relay in zip(keys, self.relays, strict=True)
            ],
            witnesses_needed=needed,
        )

    def serve(self, number: int) -> ServedWitness:
        witness = self.stack.enter_context(
            served(self.folder / f"w{number}", boards=[BoardSource(self.board, None)])
        )
        self.relays[number].target = witness.http.base_url
        return witness

    def node(self) -> Running:
        return begun(self.stack.enter_context(running(self.folder / "board")))


def begun(node: Running) -> Running:
    """The node, once something is published."""

    def is_published() -> bool:
        try:
            return node.http.send("GET", "/v1/board").status == 200
        except Unavailable:
            return False

    until(is_published)
    return node


def size_at(witness: ServedWitness) -> int:
    return open_checkpoint(fetch_cosigned(witness.http, ORIGIN), witness.keys)[0].size


def states(node: Running) -> dict[str, str]:
    match node.http.send("GET", "/v1/board").json():
        case {"witness_states": list(found)}:
            return {state["name"]: state["state"] for state in found}
    raise AssertionError("the view lacks the witnesses")


def spoil(lines: bytes) -> bytes:
    """The same line by the same key, with a signature of another moment."""
    name, _, encoded = lines.rpartition(b" ")
    data = bytearray(b64decode(encoded))
    data[-1] ^= 1
    return name + b" " + b64encode(bytes(data)) + b"\n"
