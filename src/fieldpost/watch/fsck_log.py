# SPDX-License-Identifier: Apache-2.0
"""All files of a log, read once and checked against each other (docs/spec/log.md).

A log may grow meanwhile: a partial file that its node dropped is found in the full one.
Entries are believed when they hash to the checkpoint's root, tiles when they are what the entries
hash to. Where that fails `fsck_damage` names what is damaged. Of each 256 entries one hash is kept,
so a log of any length fits.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final, overload

from fieldpost.errors import Malformed, NotFound, Untrusted
from fieldpost.tlog.hashing import Hash, leaf_hash
from fieldpost.tlog.tiles import (
    FULL_WIDTH,
    Tile,
    decode_entry_bundle,
    decode_tile,
    encode_entry_bundle,
    encode_tile,
    entries_path,
    parse_entries_path,
    parse_tile_path,
    tile_at,
    tile_path,
    tiles_for,
)
from fieldpost.tlog.tree import CompactRange, MemoryTree, Position
from fieldpost.tlog.treehead import Checkpoint

# read(path below the log's folder) → bytes
Read = Callable[[str], bytes]
BUNDLE_LEVEL: Final = 8


def through_growth(read: Read) -> Read:
    """`read`, which finds the file of a part that is gone in the whole one that took its place.

    It raises NotFound where neither is there, and Malformed where the whole one is damaged.
    """

    def find(path: str) -> bytes:
        try:
            return read(path)
        except NotFound as missing:
            if ".p/" not in path:
                raise
            try:
                return _cut_out(path, read)
            except NotFound:
                raise missing from None

    return find


def _cut_out(path: str, read: Read) -> bytes:
    if path.startswith("tile/entries/"):
        part = parse_entries_path(path)
        return encode_entry_bundle(
            decode_entry_bundle(read(entries_path(part.full())))[: part.width]
        )
    part = parse_tile_path(path)
    return encode_tile(decode_tile(part.full(), read(tile_path(part.full())))[: part.width])


class EntryTree:
    """The tree over entries, as a `HashReader`: whole bundles by their roots, the rest on demand.

    `size` entries; `bundle(index)` gives those of one bundle.
    """

    def __init__(
        self, size: int, bundle_roots: Sequence[Hash], bundle: Callable[[int], Sequence[bytes]]
    ) -> None:
        self.size = size
        self._upper = MemoryTree(bundle_roots)
        # Tiles are asked for one after the other.
        self._lower = lru_cache(maxsize=4)(
            lambda index: MemoryTree(leaf_hash(entry) for entry in bundle(index))
        )

    def read_hashes(self, positions: Sequence[Position]) -> list[Hash]:
        """See `HashReader`."""
        return [self._read(level, index) for level, index in positions]

    def _read(self, level: int, index: int) -> Hash:
        if level >= BUNDLE_LEVEL:
            return self._upper.read_hashes([(level - BUNDLE_LEVEL, index)])[0]
        above = BUNDLE_LEVEL - level
        bundle = index >> above
        return self._lower(bundle).read_hashes([(level, index - (bundle << above))])[0]


class LogEntries(Sequence[bytes]):
    """Entries of a log that were checked, read again bundle by bundle; then those `behind` it."""

    def __init__(self, read: Read, size: int, behind: Sequence[bytes] = ()) -> None:
        self._read = read
        self._signed = size
        self._behind = behind
        self.bundle = lru_cache(maxsize=4)(self._bundle)

    def _bundle(self, index: int) -> list[bytes]:
        first = index * FULL_WIDTH
        entries: list[bytes] = []
        if first < self._signed:
            tile = tile_at(level=0, index=index, size=self._signed)
            entries = decode_entry_bundle(self._read(entries_path(tile)))
        start = max(0, first - self._signed)
        return [*entries, *self._behind[start : start + FULL_WIDTH - len(entries)]]

    def __len__(self) -> int:
        return self._signed + len(self._behind)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        """One entry, or some that follow each other."""
        if isinstance(at, int):
            if not 0 <= at < len(self):
                raise IndexError(at)
            return self.bundle(at // FULL_WIDTH)[at % FULL_WIDTH]
        start, end, _ = at.indices(len(self))
        found: list[bytes] = []
        for index in range(start // FULL_WIDTH, -(-end // FULL_WIDTH)):
            first = index * FULL_WIDTH
            found += self.bundle(index)[max(start - first, 0) : end - first]
        return found

    def __iter__(self) -> Iterator[bytes]:
        for index in range(-(-len(self) // FULL_WIDTH)):
            yield from self._bundle(index)


def tree_of(entries: LogEntries) -> EntryTree:
    """The tree over all of the entries. Reads them."""
    roots = [
        MemoryTree(map(leaf_hash, entries.bundle(index))).root()
        for index in range(len(entries) // FULL_WIDTH)
    ]
    return EntryTree(len(entries), roots, entries.bundle)


class LogReading:
    """One reading of the log that `head` states. `entries` first, to its end; then `finish`."""

    def __init__(self, read: Read, head: Checkpoint) -> None:
        self._read = read
        self._head = head
        self._roots: list[Hash] = []
        self._rest: list[Hash] = []

    def entries(self, advance: Callable[[int], None]) -> Iterator[bytes]:
        """Every entry, in order, each believed only after `finish`. Raises Malformed, Untrusted."""
        for index in range(-(-self._head.size // FULL_WIDTH)):
            entries = self._take(tile_at(level=0, index=index, size=self._head.size))
            yield from entries
            advance(len(entries))

    def _take(self, tile: Tile) -> list[bytes]:
        entries = decode_entry_bundle(self._read(entries_path(tile)))
        if len(entries) != tile.width:
            raise Malformed(f"{entries_path(tile)} has {len(entries)} entries")
        hashes = [leaf_hash(entry) for entry in entries]
        self._check(tile, hashes)
        if tile.width == FULL_WIDTH:
            self._roots.append(MemoryTree(hashes).root())
        else:
            self._rest = hashes
        return entries

    def _check(self, tile: Tile, hashes: Sequence[Hash]) -> None:
        if self._read(tile_path(tile)) != encode_tile(hashes):
            raise Untrusted("bad-proof", f"{tile_path(tile)} is not what the entries hash to")

    def finish(self) -> EntryTree:
        """All of it is what the checkpoint signs. Raises Untrusted("bad-proof")."""
        above = CompactRange.empty().extend(self._roots)
        whole = CompactRange(above.size * FULL_WIDTH, above.hashes).extend(self._rest)
        if whole.root() != self._head.root:
            raise Untrusted("bad-proof", "the entries do not make the checkpoint's root")
        upper = MemoryTree(self._roots)
        for tile in tiles_for(0, self._head.size):
            if tile.level:
                at = [(level - BUNDLE_LEVEL, index) for level, index in tile.positions()]
                self._check(tile, upper.read_hashes(at))
        entries = LogEntries(self._read, self._head.size)
        return EntryTree(self._head.size, self._roots, entries.bundle)
