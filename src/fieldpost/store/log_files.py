# SPDX-License-Identifier: Apache-2.0
"""The log as a directory of static files (C2SP tlog-tiles): the truth of a node.

    LOG/checkpoint                        the published head, a signed note
    LOG/tile/<level>/<index>[.p/<width>]
    LOG/tile/entries/<index>[.p/<width>]

`append` returns once a batch is on the disk, `open_log` finds the size again from what is there:
a batch counts from the moment its last entry, the state leaf, is durable with everything before
it; a torn one is removed. Files are put in place whole and never change, so any web server may
serve the directory and readers in other threads need no lock. The partial files of a size that
was published stay until the full one is there, as tlog-tiles asks.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, discard_directory, write_file, write_files
from fieldpost.errors import Malformed, NotFound, Unavailable
from fieldpost.store.growing_edge import GrowingEdge
from fieldpost.tlog.tiles import (
    FULL_WIDTH,
    Tile,
    TileHashReader,
    decode_entry_bundle,
    entries_path,
    tile_at,
    tile_path,
    tiles_for,
)
from fieldpost.tlog.tree import CompactRange

MAX_BATCH_ENTRIES: Final = 16_384


class LogFiles:
    """The log below `root`, for one writing thread and any number of reading ones.

    Made by `fieldpost.store.log_recovery.open_log`, which knows what is durable.
    """

    def __init__(
        self, root: Path, edge: GrowingEdge, disk: Disk = OS, superseded: Sequence[Path] = ()
    ) -> None:
        self._root = root
        self._edge = edge
        self._disk = disk
        self._superseded = list(superseded)
        self._made: frozenset[Path] = frozenset()

    @property
    def size(self) -> int:
        """How many entries are durable."""
        return self._edge.size

    def compact_range(self) -> CompactRange:
        """The roots of the tree's full subtrees; `.root()` is the root of the log."""
        return self._edge.range

    def last_edge(self) -> tuple[bytes, ...]:
        """The inclusion path of the last entry, leaf to root: popcount(size - 1) hashes."""
        return self._edge.last_edge

    def append(self, entries: Sequence[bytes]) -> None:
        """Make one batch durable. Its last entry is a state leaf; without one it does not count.

        Raises Unavailable; then open the log anew, because the batch may or may not be there.
        ValueError for an entry that a bundle cannot hold, none, or more than 16,384.
        """
        if not 1 <= len(entries) <= MAX_BATCH_ENTRIES:
            raise ValueError(f"a batch of {len(entries)} entries")
        before = self._edge.size
        edge, files = self._edge.grow(entries)
        paths = {self._root / path: data for path, data in files.items()}
        directories = frozenset(path.parent for path in paths)
        # Those of the last batch are known to be durable, and most batches need no others.
        write_files(paths, new=sorted(directories - self._made), disk=self._disk)
        self._made = directories
        self._edge = edge
        self._superseded += superseded_directories(self._root, before, edge.size)

    def drop_superseded(self) -> None:
        """Remove the partial files whose full ones became durable. Raises Unavailable.

        Needless files do no harm, so nothing waits until they are gone for good.
        """
        while self._superseded:
            discard_directory(self._superseded[-1], disk=self._disk)
            self._superseded.pop()

    def read_tile(self, tile: Tile) -> bytes:
        """The bytes of a tile. Raises NotFound, Unavailable."""
        return read_file(self._root / tile_path(tile))

    def hash_reader(self) -> TileHashReader:
        """The hashes of all that is durable, and so those of every smaller tree.

        A copy of a log has the incomplete tiles of its last size alone, none of older ones.
        """
        return TileHashReader(self.read_tile, self._edge.size)

    def read_entry(self, index: int) -> bytes:
        """One entry. Raises NotFound."""
        return self.read_entries(index, index + 1)[0]

    def read_entries(self, start: int, end: int) -> list[bytes]:
        """The entries [start, end). Raises NotFound where the log is shorter, or a file is gone."""
        size = self._edge.size
        if not 0 <= start <= end <= size:
            raise NotFound(f"no entries {start} to {end} in a log of size {size}")
        entries: list[bytes] = []
        for index in range(start // FULL_WIDTH, -(-end // FULL_WIDTH)):
            first = index * FULL_WIDTH
            bundle = read_bundle(self._root, tile_at(level=0, index=index, size=size))
            entries += bundle[max(start - first, 0) : end - first]
        return entries

    def write_checkpoint(self, note: bytes) -> None:
        """Replace the published head. Raises Unavailable."""
        write_file(self._root / "checkpoint", note, disk=self._disk)

    def read_checkpoint(self) -> bytes | None:
        """The published head, if there is one yet."""
        return read_checkpoint(self._root)


def read_checkpoint(root: Path) -> bytes | None:
    """The published head of the log below `root`, if there is one yet. Raises Unavailable."""
    try:
        return read_file(root / "checkpoint")
    except NotFound:
        return None


def read_file(path: Path) -> bytes:
    """The bytes of a file. Raises NotFound, Unavailable."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"there is no {path.name} here") from None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error


def is_same(path: Path, data: bytes) -> bool:
    """Whether a file is there and holds `data`. Raises Unavailable."""
    try:
        return path.stat().st_size == len(data) and read_file(path) == data
    except (FileNotFoundError, NotADirectoryError, NotFound):
        return False
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error


def read_bundle(root: Path, tile: Tile) -> list[bytes]:
    """The entries of a bundle; a partial one that was dropped is found in the full one.

    Raises NotFound, Malformed unless there are as many as the tile is wide, Unavailable.
    """
    try:
        found = read_file(root / entries_path(tile))
    except NotFound:
        if tile.width == FULL_WIDTH:
            raise
        return read_bundle(root, tile.full())[: tile.width]
    entries = decode_entry_bundle(found)
    if len(entries) != tile.width:
        raise Malformed(f"{entries_path(tile)} holds {len(entries)} entries")
    return entries


def superseded_directories(root: Path, old_size: int, size: int) -> list[Path]:
    """The directories of partial files that full tiles made needless between two sizes."""
    full = [tile for tile in tiles_for(old_size, size) if tile.width == FULL_WIDTH]
    names = [tile_path(tile) for tile in full]
    names += [entries_path(tile) for tile in full if tile.level == 0]
    return [root / f"{name}.p" for name in names]
