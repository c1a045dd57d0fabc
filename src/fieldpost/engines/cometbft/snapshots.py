# SPDX-License-Identifier: Apache-2.0
"""Snapshots of a replica: its keys and values at a height, in chunks that anybody can check.

    metadata = ["fieldpost/snapshot", 1, board, size, state leaf, [edge…], [SHA-256 of a chunk…]]
    chunk    = [key, value, key, value, …]

Deterministic CBOR; pairs sorted by key over all chunks, a chunk ends with the first pair that
brings its keys and values to 4 MiB. So every replica makes the same bytes of the same height. The
state leaf with its edge leads to the block's application hash, the pairs to the leaf's map root
(docs/spec/cluster.md). The log itself is no part of it: it is fetched as static files.

State maps are immutable and share their structure, so a snapshot that nobody asks for costs a
reference; chunks are made when they are asked for.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from fieldpost import cbor
from fieldpost.engines.cometbft import messages
from fieldpost.engines.cometbft.replica import Computed
from fieldpost.errors import Malformed
from fieldpost.tlog.hashing import HASH_BYTES, Hash

FORMAT: Final = 1
CHUNK_BYTES: Final = 4 * 1024 * 1024
MOST_CHUNKS: Final = 16_384
MOST_METADATA_BYTES: Final = 1024 * 1024
# How many are kept: whoever fetches slowly must not lose the snapshot meanwhile.
_KEPT: Final = 2
_LABEL: Final = "fieldpost/snapshot"

Pair = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a snapshot says of itself; see the module."""

    board: str
    size: int
    state_leaf: bytes
    edge: tuple[Hash, ...]
    chunks: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode(
            [_LABEL, 1, self.board, self.size, self.state_leaf, [*self.edge], [*self.chunks]]
        )


def decode_metadata(data: bytes) -> Metadata:
    """Read what a peer offers. Raises Malformed."""
    if len(data) > MOST_METADATA_BYTES:
        raise Malformed(f"metadata of a snapshot of {len(data)} bytes")
    match cbor.decode(data):
        case (str(label), 1, str(board), int(size), bytes(leaf), tuple(edge), tuple(chunks)) if (
            label == _LABEL and size > 0 and 0 < len(chunks) <= MOST_CHUNKS
        ):
            return Metadata(board, size, leaf, _hashes(edge), _hashes(chunks))
        case _:
            raise Malformed("this is no snapshot's metadata")


def _hashes(values: tuple[Any, ...]) -> tuple[bytes, ...]:
    if not all(isinstance(value, bytes) and len(value) == HASH_BYTES for value in values):
        raise Malformed("a snapshot's metadata has hashes of another length")
    return values


def decode_chunk(data: bytes) -> list[Pair]:
    """The pairs of a chunk. Raises Malformed."""
    match cbor.decode(data):
        case tuple(values) if len(values) % 2 == 0 and all(
            isinstance(value, bytes) for value in values
        ):
            found = iter(values)
            return [(key, value) for key, value in zip(found, found, strict=True)]  # type: ignore[misc]
        case _:
            raise Malformed("this is no chunk of a snapshot")


@dataclass(slots=True)
class _Taken:
    """A height of which a snapshot may be wanted.

    Made when it is first asked for: `metadata`, and `firsts`, the first key of each chunk.
    """

    height: int
    computed: Computed
    metadata: bytes = b""
    firsts: tuple[bytes, ...] = ()


class Snapshots:
    """The newest snapshots of one replica. For any thread.

    One is taken of every height that `every` divides.
    """

    def __init__(self, *, every: int, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._every = every
        self._chunk_bytes = chunk_bytes
        self._taken: dict[int, _Taken] = {}
        self._lock = threading.Lock()

    def is_due(self, height: int) -> bool:
        """Whether a snapshot of this height is to be kept."""
        return height > 0 and height % self._every == 0

    def keep(self, height: int, computed: Computed) -> None:
        """Keep a height; the oldest goes."""
        with self._lock:
            self._taken[height] = _Taken(height, computed)
            for old in sorted(self._taken)[:-_KEPT]:
                del self._taken[old]

    def list(self) -> Any:
        """The answer to ListSnapshots. The first time reads the whole map."""
        with self._lock:
            taken = list(self._taken.values())
            for one in taken:
                if not one.metadata:
                    self._describe(one)
            return messages.ListSnapshotsResponse(
                snapshots=[
                    messages.Snapshot(
                        height=one.height,
                        format=FORMAT,
                        chunks=len(one.firsts),
                        hash=sha256(one.metadata).digest(),
                        metadata=one.metadata,
                    )
                    for one in taken
                ]
            )

    def load(self, request: Any) -> Any:
        """The answer to LoadSnapshotChunk; empty for a chunk that is not, or no more, here."""
        with self._lock:
            one = self._taken.get(request.height)
        if one is None or request.format != FORMAT or request.chunk >= len(one.firsts):
            return messages.LoadChunkResponse()
        pairs = one.computed.state.map.items(one.firsts[request.chunk])
        return messages.LoadChunkResponse(chunk=next(_chunks(pairs, self._chunk_bytes))[1])

    def _describe(self, one: _Taken) -> None:
        computed = one.computed
        firsts, digests = [], []
        for first, chunk in _chunks(computed.state.map.items(), self._chunk_bytes):
            firsts.append(first)
            digests.append(sha256(chunk).digest())
        one.firsts = tuple(firsts)
        one.metadata = Metadata(
            computed.state.board,
            computed.state.size,
            computed.state.last.encode(),
            computed.edge,
            tuple(digests),
        ).encode()


def _chunks(pairs: Iterator[Pair], most_bytes: int) -> Iterator[tuple[bytes, bytes]]:
    """The first key of every chunk, and the chunk."""
    values: list[bytes] = []
    length = 0
    for pair in pairs:
        values += pair
        length += len(pair[0]) + len(pair[1])
        if length >= most_bytes:
            yield values[0], cbor.encode(values)
            values, length = [], 0
    if values:
        yield values[0], cbor.encode(values)
