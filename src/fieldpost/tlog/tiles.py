# SPDX-License-Identifier: Apache-2.0
"""Tiles and entry bundles: how the log lies in static files (C2SP tlog-tiles).

    tile/<level>/<index>[.p/<width>]      256 (or `width`) hashes of 32 bytes
    tile/entries/<index>[.p/<width>]      the entries under a level-0 tile: u16 length ‖ entry

    index 1234067  ->  x001/x234/067

A hash in a tile of level l is the root of a full subtree of 256^l leaves; partial tiles never
hash upward. An entry bundle has the coordinates of the level-0 tile over it. Tiles are not
authenticated here: what is computed from them counts only if it leads to a signed root.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fieldpost.errors import Malformed, NotFound
from fieldpost.tlog.hashing import HASH_BYTES, Hash, node_hash
from fieldpost.tlog.tree import Position

FULL_WIDTH: Final = 256
MAX_LEVEL: Final = 63
MAX_INDEX: Final = 2**63 - 1
MAX_ENTRY_BYTES: Final = 65_535

_INDEX: Final = r"((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
_TILE: Final = re.compile(rf"tile/(0|[1-9][0-9]?)/{_INDEX}")
_ENTRIES: Final = re.compile(rf"tile/entries/{_INDEX}")


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile. `level` 0-63, `index` from 0, `width` 1-256 hashes (256 = full).

    Raises Malformed for coordinates that no tile has.
    """

    level: int
    index: int
    width: int = FULL_WIDTH

    def __post_init__(self) -> None:
        if not (0 <= self.level <= MAX_LEVEL and 0 <= self.index <= MAX_INDEX):
            raise Malformed(f"there is no tile of level {self.level} and index {self.index}")
        if not 1 <= self.width <= FULL_WIDTH:
            raise Malformed(f"a tile holds 1 to 256 hashes, not {self.width}")

    def full(self) -> "Tile":
        """The full tile at the same place."""
        return Tile(self.level, self.index)

    def positions(self) -> list[Position]:
        """The tree positions of the tile's hashes, in order."""
        first = self.index * FULL_WIDTH
        return [(8 * self.level, first + i) for i in range(self.width)]


def tile_path(tile: Tile) -> str:
    """The path of a tile, relative to the log's prefix."""
    return f"tile/{tile.level}/{_format_index(tile)}"


def entries_path(tile: Tile) -> str:
    """The path of the entry bundle under a level-0 tile, relative to the log's prefix."""
    if tile.level != 0:
        raise ValueError("only level-0 tiles have entries under them")
    return f"tile/entries/{_format_index(tile)}"


def parse_tile_path(path: str) -> Tile:
    """The tile of a path: the strict inverse of `tile_path`. Raises Malformed."""
    match = _TILE.fullmatch(path)
    if match is None:
        raise Malformed("not the path of a tile")
    return _parse_tile(int(match[1]), match[2], match[3])


def parse_entries_path(path: str) -> Tile:
    """The level-0 tile over a bundle: the strict inverse of `entries_path`. Raises Malformed."""
    match = _ENTRIES.fullmatch(path)
    if match is None:
        raise Malformed("not the path of an entry bundle")
    return _parse_tile(0, match[1], match[2])


def _format_index(tile: Tile) -> str:
    digits = str(tile.index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    partial = "" if tile.width == FULL_WIDTH else f".p/{tile.width}"
    return "/".join(["x" + group for group in groups[:-1]] + groups[-1:]) + partial


def _parse_tile(level: int, groups: str, width: str | None) -> Tile:
    if groups.startswith("x000"):
        raise Malformed("a tile index has a group too many")
    if width is not None and int(width) == FULL_WIDTH:
        raise Malformed("a full tile has no width in its path")
    index = int(groups.replace("x", "").replace("/", ""))
    return Tile(level, index, FULL_WIDTH if width is None else int(width))


def tiles_for(old_size: int, size: int) -> list[Tile]:
    """The tiles, full and partial, that a tree of `size` has and one of `old_size` had not.

    Lowest level first, each level left to right. Those of level 0 name the entry bundles too.
    """
    if not 0 <= old_size <= size:
        raise ValueError(f"a log does not go from size {old_size} to {size}")
    tiles: list[Tile] = []
    level, old, new = 0, old_size, size
    while old != new:
        tiles.extend(
            Tile(level, index, min(FULL_WIDTH, new - index * FULL_WIDTH))
            for index in range(old // FULL_WIDTH, -(-new // FULL_WIDTH))
        )
        level, old, new = level + 1, old // FULL_WIDTH, new // FULL_WIDTH
    return tiles


def tile_at(*, level: int, index: int, size: int) -> Tile:
    """The tile (level, index) as wide as a tree of `size` has it. Raises NotFound if empty."""
    width = min(FULL_WIDTH, (size >> 8 * level) - index * FULL_WIDTH)
    if width <= 0:
        raise NotFound(f"a log of size {size} has no tile {index} at level {level}")
    return Tile(level, index, width)


def encode_tile(hashes: Sequence[Hash]) -> bytes:
    """The bytes of a tile: its hashes, one after the other."""
    if not 1 <= len(hashes) <= FULL_WIDTH or {*map(len, hashes)} != {HASH_BYTES}:
        raise ValueError("a tile holds 1 to 256 hashes of 32 bytes")
    return b"".join(hashes)


def decode_tile(tile: Tile, data: bytes) -> list[Hash]:
    """The hashes of a tile. Raises Malformed unless there are exactly `tile.width`."""
    if len(data) != tile.width * HASH_BYTES:
        raise Malformed(f"{tile_path(tile)} has {len(data)} bytes")
    return [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)]


def encode_entry_bundle(entries: Sequence[bytes]) -> bytes:
    """The bytes of 1 to 256 entries of at most 65,535 bytes; ValueError for anything else."""
    if not 1 <= len(entries) <= FULL_WIDTH or max(map(len, entries)) > MAX_ENTRY_BYTES:
        raise ValueError("an entry bundle holds 1 to 256 entries of at most 65,535 bytes")
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def decode_entry_bundle(data: bytes) -> list[bytes]:
    """The entries of a bundle. Raises Malformed for none, over 256, and entries cut off.

    Whoever asked for a bundle of a certain width must compare the count.
    """
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise Malformed("an entry bundle is cut off")
        entries.append(data[at + 2 : end])
        at = end
    if not 1 <= len(entries) <= FULL_WIDTH:
        raise Malformed(f"an entry bundle of {len(entries)} entries")
    return entries


class TileHashReader:
    """A HashReader over the tiles of a log of `size`.

    `read_tile` gives the bytes of a tile or raises NotFound; a partial tile that is gone is
    looked for in the full tile, as C2SP lets servers drop it once the full one exists.
    Each tile is read once per call; nothing is kept between calls.
    """

    __slots__ = ("_read_tile", "_size")

    def __init__(self, read_tile: Callable[[Tile], bytes], size: int) -> None:
        self._read_tile = read_tile
        self._size = size

    def read_hashes(self, positions: Sequence[Position]) -> list[Hash]:
        """See HashReader. NotFound for positions that a log of this size has not."""
        places = [_place(level, index) for level, index in positions]
        tiles = self._load(dict.fromkeys(place[:2] for place in places))
        return [tiles[level, index].root(first, count) for level, index, first, count in places]

    def _load(self, wanted: Iterable[tuple[int, int]]) -> dict[tuple[int, int], "_Subtrees"]:
        return {
            (level, index): _Subtrees(
                self._load_tile(tile_at(level=level, index=index, size=self._size))
            )
            for level, index in wanted
        }

    def _load_tile(self, tile: Tile) -> list[Hash]:
        try:
            return decode_tile(tile, self._read_tile(tile))
        except NotFound:
            if tile.width == FULL_WIDTH:
                raise
            return decode_tile(tile.full(), self._read_tile(tile.full()))[: tile.width]


def _place(level: int, index: int) -> tuple[int, int, int, int]:
    """Tile level, tile index, first hash and number of hashes that make up one position."""
    tile_level, extra = divmod(level, 8)
    tile_index, first = divmod(index << extra, FULL_WIDTH)
    return tile_level, tile_index, first, 1 << extra


class _Subtrees:
    """The hashes of one tile, and the roots over them that were asked for so far.

    Who proves many neighbours asks for all of them, from the bottom up.
    """

    __slots__ = ("_roots",)

    def __init__(self, hashes: Sequence[Hash]) -> None:
        self._roots = {(first, 1): item for first, item in enumerate(hashes)}

    def root(self, first: int, count: int) -> Hash:
        """The root over `count` (a power of two) hashes from `first`."""
        found = self._roots.get((first, count))
        if found is None:
            if count == 1:
                raise NotFound("the subtree is not full at this size")
            half = count // 2
            found = node_hash(self.root(first, half), self.root(first + half, half))
            self._roots[first, count] = found
        return found
