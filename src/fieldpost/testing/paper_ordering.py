# SPDX-License-Identifier: Apache-2.0
"""CometBFT on paper, for one engine: what was handed over becomes blocks when a test says so.

It talks to the engine over the real socket, as CometBFT would, from the test's own thread.
"""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from fieldpost.engines.cometbft.frames import read_frame, write_frame
from fieldpost.engines.cometbft.messages import Request, Response
from fieldpost.errors import FieldpostError

_WAIT_S: Final = 60.0


class PaperOrdering:
    """An `Ordering` whose mempool a test can see. `refuses`: what `broadcast` answers instead."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.mempool: list[bytes] = []
        self.starts = 0
        self.height = 0
        self.trouble: str | None = None
        self.refuses: FieldpostError | None = None

    def start(self) -> None:
        """See Ordering."""
        self.starts += 1

    def stop(self) -> None:
        """See Ordering."""

    def broadcast(self, txs: Sequence[bytes]) -> list[FieldpostError | None]:
        """See Ordering."""
        if self.refuses is not None:
            return [self.refuses] * len(txs)
        self.mempool += [tx for tx in txs if tx not in self.mempool]
        return [None] * len(txs)

    def look_after(self) -> None:
        """See Ordering."""

    def ask(self, **union: Any) -> Any:
        """The answer to one request, over a connection of its own. AssertionError for a failure."""
        with socket.socket(socket.AF_UNIX) as made:
            made.settimeout(_WAIT_S)
            made.connect(str(self._path))
            stream = cast(BinaryIO, made.makefile("rwb"))
            write_frame(stream, Request(**union).SerializeToString())
            write_frame(stream, Request(flush={}).SerializeToString())
            stream.flush()
            data = read_frame(stream)
        if data is None:
            raise AssertionError("the application hung up")
        answer = Response.FromString(data)
        kind = answer.WhichOneof("value")
        if kind == "exception":
            raise AssertionError(answer.exception.error)
        return getattr(answer, kind)

    def block(self, *txs: bytes, time: int) -> bytes:
        """Decide and commit a block of these transactions; the app hash."""
        self.height += 1
        found: bytes = self.ask(
            finalize_block={"txs": txs, "height": self.height, "time": {"seconds": time}}
        ).app_hash
        self.ask(commit={})
        self.mempool = [tx for tx in self.mempool if tx not in txs]
        return found
