# SPDX-License-Identifier: Apache-2.0
"""All files of a log, read once and checked against each other (docs/spec/log.md).

Entries are believed when they hash to the checkpoint's root, tiles when they are what the entries
hash to. Where that fails, the file that is damaged is named: with the root on the one side and two
forms of every leaf on the other, mostly only one of them can be wrong. Of each 256 entries one hash
is kept, so a log of any length fits.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final, overload

from fieldpost.errors import Malformed, Untrusted
from fieldpost.tlog.hashing import Hash, leaf_hash
from fieldpost.tlog.tiles import (
    FULL_WIDTH,
    Tile,
    decode_entry_bundle,
    decode_tile,
    encode_tile,
    entries_path,
    tile_at,
    tile_path,
    tiles_for,
)
from fieldpost.tlog.tree import CompactRange, MemoryTree, Position
from fieldpost.tlog.treehead import Checkpoint

# read(path below the log's folder) → bytes
Read = Callable[[str], bytes]
_BUNDLE_LEVEL: Final = 8
_MOST_NAMED: Final = 8


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
        if level >= _BUNDLE_LEVEL:
            return self._upper.read_hashes([(level - _BUNDLE_LEVEL, index)])[0]
        above = _BUNDLE_LEVEL - level
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
        # The same by the tiles; None where one of them is no tile.
        self._told: list[Hash | None] = []
        self._told_rest: list[Hash] | None = []
        self._differing: list[Tile] = []
        self.is_broken = False

    def entries(self, advance: Callable[[int], None]) -> Iterator[bytes]:
        """Every entry, in order, each believed only after `finish`.

        Raises Malformed, which names the file.
        """
        try:
            for index in range(-(-self._head.size // FULL_WIDTH)):
                entries = self._take(tile_at(level=0, index=index, size=self._head.size))
                yield from entries
                advance(len(entries))
        except GeneratorExit:
            raise
        except BaseException:
            self.is_broken = True
            raise

    def _take(self, tile: Tile) -> list[bytes]:
        name = entries_path(tile)
        try:
            entries = decode_entry_bundle(self._read(name))
        except Malformed as error:
            raise Malformed(f"{name} is damaged: {error}") from error
        if len(entries) != tile.width:
            raise Malformed(f"{name} is damaged: {len(entries)} entries instead of {tile.width}")
        hashes = [leaf_hash(entry) for entry in entries]
        data = self._read(tile_path(tile))
        told: list[Hash] | None = hashes
        if data != encode_tile(hashes):
            self._differing.append(tile)
            try:
                told = decode_tile(tile, data)
            except Malformed:
                told = None
        if tile.width == FULL_WIDTH:
            self._roots.append(MemoryTree(hashes).root())
            self._told.append(None if told is None else MemoryTree(told).root())
        else:
            self._rest, self._told_rest = hashes, told
        return entries

    def finish(self) -> EntryTree:
        """All of it is what the checkpoint signs. Raises Untrusted("bad-proof"), with the file."""
        if _root(self._roots, self._rest) != self._head.root:
            raise Untrusted("bad-proof", self._name_damage())
        if self._differing:
            name = tile_path(self._differing[0])
            raise Untrusted("bad-proof", f"{name} is not what the entries hash to")
        upper = MemoryTree(self._roots)
        for tile in tiles_for(0, self._head.size):
            if tile.level:
                at = [(level - _BUNDLE_LEVEL, index) for level, index in tile.positions()]
                if self._read(tile_path(tile)) != encode_tile(upper.read_hashes(at)):
                    name = tile_path(tile)
                    raise Untrusted("bad-proof", f"{name} is not what the entries hash to")
        entries = LogEntries(self._read, self._head.size)
        return EntryTree(self._head.size, self._roots, entries.bundle)

    def _name_damage(self) -> str:
        """What to say of entries that do not hash to the root."""
        if not self._differing:
            return "entries and tiles agree, but do not make the root that checkpoint states"
        told = [root for root in self._told if root is not None]
        is_whole = len(told) == len(self._told) and self._told_rest is not None
        if is_whole and _root(told, self._told_rest or []) == self._head.root:
            names = _listed(entries_path(tile) for tile in self._differing)
            return f"{names} is damaged: the tiles make the checkpoint's root, the entries do not"
        names = _listed(f"{entries_path(t)} or {tile_path(t)}" for t in self._differing)
        return f"{names} is damaged: they do not belong together, nor to the checkpoint"


def _listed(names: Iterator[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return ", ".join(found[:_MOST_NAMED]) + more


def _root(bundle_roots: Sequence[Hash], rest: Sequence[Hash]) -> Hash:
    above = CompactRange.empty().extend(bundle_roots)
    return CompactRange(above.size * FULL_WIDTH, above.hashes).extend(rest).root()
