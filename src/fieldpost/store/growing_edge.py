# SPDX-License-Identifier: Apache-2.0
"""The right edge of a log that grows: which files does a batch of entries add?

Pure. An edge holds what is needed to append without reading anything back: the entries of the
incomplete bundle, the hashes of the incomplete tile of every level, and the compact range. Tiles
and bundles are those of C2SP tlog-tiles (`fieldpost.tlog.tiles`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fieldpost.tlog.hashing import Hash, leaf_hash
from fieldpost.tlog.tiles import (
    FULL_WIDTH,
    Tile,
    TileHashReader,
    encode_entry_bundle,
    encode_tile,
    entries_path,
    tile_at,
    tile_path,
)
from fieldpost.tlog.tree import CompactRange, MemoryTree, read_compact_range


@dataclass(frozen=True, slots=True)
class GrowingEdge:
    """The right edge of a log of `range.size` entries.

    `rows[l]` are the hashes of the incomplete tile of level l, `bundle` the entries under
    `rows[0]`. `last_edge` is the inclusion path of the last entry, leaf to root.
    """

    range: CompactRange
    rows: tuple[tuple[Hash, ...], ...] = ((),)
    bundle: tuple[bytes, ...] = ()
    last_edge: tuple[Hash, ...] = ()

    @property
    def size(self) -> int:
        """How many entries the log has."""
        return self.range.size

    def grow(self, entries: Sequence[bytes]) -> tuple["GrowingEdge", dict[str, bytes]]:
        """The edge after `entries`, and the new files by path relative to the log's prefix.

        Bundles come before tiles. ValueError for an entry over 65,535 bytes or no entry.
        """
        *others, last = entries
        growth = _Growth(self)
        growth.extend(others)
        before_last = growth.compact_range()
        growth.extend([last])
        growth.write_partial()
        edge = GrowingEdge(
            before_last.append(leaf_hash(last)),
            tuple(tuple(row) for row in growth.rows),
            tuple(growth.bundle),
            before_last.edge(),
        )
        return edge, growth.bundles | growth.tiles


def read_edge(reader: TileHashReader, range_: CompactRange, bundle: Sequence[bytes]) -> GrowingEdge:
    """The edge of the log that `range_` describes, with the hashes of `bundle` and the tiles.

    Raises NotFound and Malformed for tiles that are missing or damaged.
    """
    size = range_.size
    if size == 0:
        return GrowingEdge(range_)
    before_last = read_compact_range(reader, size=size - 1)
    rows: list[tuple[Hash, ...]] = []
    level = 0
    while (count := size >> 8 * level) or not rows:
        width = count % FULL_WIDTH
        first = count - width
        rows.append(tuple(reader.read_hashes([(8 * level, first + i) for i in range(width)])))
        level += 1
    return GrowingEdge(range_, tuple(rows), tuple(bundle), before_last.edge())


class _Growth:
    """One batch on its way into the rows."""

    def __init__(self, edge: GrowingEdge) -> None:
        self.size = edge.size
        self.rows = [list(row) for row in edge.rows]
        self.bundle = list(edge.bundle)
        self.changed = {0}
        self.bundles: dict[str, bytes] = {}
        self.tiles: dict[str, bytes] = {}
        self._range = edge.range

    def compact_range(self) -> CompactRange:
        """The compact range of all that was appended."""
        row = self.rows[0]
        self._range = self._range.extend(row[self._range.size % FULL_WIDTH :])
        return self._range

    def extend(self, entries: Sequence[bytes]) -> None:
        done = 0
        while some := entries[done : done + FULL_WIDTH - len(self.bundle)]:
            self.bundle += some
            self.rows[0] += map(leaf_hash, some)
            self.size += len(some)
            done += len(some)
            if len(self.bundle) == FULL_WIDTH:
                full = Tile(0, self.size // FULL_WIDTH - 1)
                self.bundles[entries_path(full)] = encode_entry_bundle(self.bundle)
                self.bundle.clear()
                self._promote(0)

    def write_partial(self) -> None:
        if self.bundle:
            tile = tile_at(level=0, index=self.size // FULL_WIDTH, size=self.size)
            self.bundles[entries_path(tile)] = encode_entry_bundle(self.bundle)
        for level in sorted(self.changed):
            if row := self.rows[level]:
                index = self.size >> 8 * (level + 1)
                self.tiles[tile_path(Tile(level, index, len(row)))] = encode_tile(row)

    def _promote(self, level: int) -> None:
        """The row of `level` is full: write its tile, and its root into the row above."""
        row = self.rows[level]
        index = (self.size >> 8 * (level + 1)) - 1
        self.tiles[tile_path(Tile(level, index))] = encode_tile(row)
        if level + 1 == len(self.rows):
            self.rows.append([])
        root = MemoryTree(row).root()
        self.rows[level + 1].append(root)
        if level == 0:
            # The tile's root stands for its leaves, which are hashed once and not for both.
            whole = CompactRange(index, self._range.hashes[: index.bit_count()]).append(root)
            self._range = CompactRange(whole.size * FULL_WIDTH, whole.hashes)
        self.changed.add(level + 1)
        row.clear()
        if len(self.rows[level + 1]) == FULL_WIDTH:
            self._promote(level + 1)
