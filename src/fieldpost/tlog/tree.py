# SPDX-License-Identifier: Apache-2.0
"""Growing a tree, its right edge, and the port through which tree hashes are read (RFC 6962 §2.1).

A tree of n leaves is a row of full subtrees, one for each set bit of n, largest first. Their
roots (the compact range) are all that is needed to append leaves and to know the root:

    n = 7 = 4+2+1      [0 1 2 3] [4 5] [6]

They are also, read from the right, the inclusion path of the leaf that comes next: in a tree
of size N the path of leaf N-1 (the right edge) has exactly popcount(N-1) hashes.

A position (level, index) names the full subtree over leaves [index·2^level, (index+1)·2^level).
Only full subtrees have positions, so the hash at a position never changes once it exists.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from fieldpost.errors import Malformed
from fieldpost.tlog.hashing import EMPTY_ROOT, HASH_BYTES, Hash, node_hash

Position = tuple[int, int]


class HashReader(Protocol):
    """Where the hashes of full subtrees come from: memory, tiles on disk, tiles over HTTP.

    Callers plan all positions first, read once, then compute; so one call is one round trip.
    """

    def read_hashes(self, positions: Sequence[Position]) -> list[Hash]:
        """The hash at each position, in the order asked.

        Raises NotFound for a subtree that the source does not hold, Malformed if the source is
        damaged, Unavailable if it cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True)
class CompactRange:
    """The roots of the full subtrees of a tree of `size` leaves, left to right, largest first.

    Raises Malformed unless there are exactly popcount(size) hashes of 32 bytes.
    """

    size: int
    hashes: tuple[Hash, ...]

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise Malformed(f"{len(self.hashes)} hashes cannot describe a tree of size {self.size}")
        if any(len(item) != HASH_BYTES for item in self.hashes):
            raise Malformed("a tree hash must have 32 bytes")

    @classmethod
    def empty(cls) -> Self:
        """The tree of no leaves."""
        return cls(0, ())

    def append(self, leaf_hash: Hash) -> "CompactRange":
        """The range after one more leaf."""
        return self.extend((leaf_hash,))

    def extend(self, leaf_hashes: Iterable[Hash]) -> "CompactRange":
        """The range after more leaves, in order."""
        size, row = self.size, list(self.hashes)
        for item in leaf_hashes:
            merged, rest = item, size
            while rest & 1:
                merged = node_hash(row.pop(), merged)
                rest >>= 1
            row.append(merged)
            size += 1
        return CompactRange(size, tuple(row))

    def root(self) -> Hash:
        """The root of the tree; `EMPTY_ROOT` for no leaves."""
        return fold(self.hashes) if self.hashes else EMPTY_ROOT

    def edge(self) -> tuple[Hash, ...]:
        """The inclusion path, leaf to root, of the leaf that is appended **next**.

        That is the right edge of the tree of size `size` + 1. It does not depend on that leaf,
        so it can be taken before the leaf is known.
        """
        return self.hashes[::-1]


def fold(row: Sequence[Hash]) -> Hash:
    """The root over neighbouring full subtrees, given largest first. At least one is needed."""
    root = row[-1]
    for left in reversed(row[:-1]):
        root = node_hash(left, root)
    return root


def subtree_positions(begin: int, end: int) -> list[Position]:
    """The full subtrees that make up leaves [begin, end), left to right, largest first.

    `begin` must be a multiple of the smallest power of two that is ≥ end - begin, as it is for
    every subtree of an RFC 6962 tree.
    """
    count = end - begin
    if count.bit_count() == 1:  # one full subtree, as nearly all are that proofs ask for
        level = count.bit_length() - 1
        return [(level, begin >> level)]
    positions = []
    for level in range(count.bit_length() - 1, -1, -1):
        if count >> level & 1:
            positions.append((level, begin >> level))
            begin += 1 << level
    return positions


def read_compact_range(reader: HashReader, *, size: int) -> CompactRange:
    """The compact range of the first `size` leaves: where a writer goes on after a restart."""
    return CompactRange(size, tuple(reader.read_hashes(subtree_positions(0, size))))


class MemoryTree:
    """A HashReader over leaf hashes in memory: for device lots, batches, and tests."""

    __slots__ = ("_levels",)

    def __init__(self, leaf_hashes: Iterable[Hash]) -> None:
        self._levels: list[list[Hash]] = [list(leaf_hashes)]
        while len(below := self._levels[-1]) > 1:
            pairs = range(0, len(below) - 1, 2)
            self._levels.append([node_hash(below[i], below[i + 1]) for i in pairs])

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0])

    def read_hashes(self, positions: Sequence[Position]) -> list[Hash]:
        """See HashReader. A position outside the tree is the caller's bug: IndexError."""
        return [self._levels[level][index] for level, index in positions]

    def root(self) -> Hash:
        """The root over all leaves."""
        return read_compact_range(self, size=self.size).root()
