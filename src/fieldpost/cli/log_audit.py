# SPDX-License-Identifier: Apache-2.0
"""Reading all of a log's files and checking them against each other (docs/spec/log.md).

Entries are believed when they hash to the checkpoint's root, tiles when they are what the entries
hash to. Where that fails, the file that is damaged is named: with the root on the one side and two
forms of every leaf on the other, mostly only one of them can be wrong.
"""

from collections.abc import Callable, Iterator

from fieldpost.cli.console import progress
from fieldpost.errors import Malformed, Untrusted
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.tiles import (
    FULL_WIDTH,
    decode_entry_bundle,
    encode_tile,
    entries_path,
    tile_at,
    tile_path,
    tiles_for,
)
from fieldpost.tlog.tree import MemoryTree
from fieldpost.tlog.treehead import Checkpoint

# read(path below the log's folder) → bytes
Read = Callable[[str], bytes]


def read_log(read: Read, head: Checkpoint, *, as_json: bool) -> list[bytes]:
    """Every entry of the tree that `head` states, in order, with every tile checked.

    Raises Untrusted("bad-proof") and Malformed, which name the file.
    """
    with progress("reading entries", head.size, as_json=as_json) as advance:
        entries = list(_read_entries(read, head.size, advance))
    tree = MemoryTree(map(leaf_hash, entries))
    if tree.root() != head.root:
        raise Untrusted("bad-proof", _name_damage(read, head, tree))
    tiles = tiles_for(0, head.size)
    with progress("comparing tiles", len(tiles), as_json=as_json) as advance:
        for tile in tiles:
            if read(tile_path(tile)) != encode_tile(tree.read_hashes(tile.positions())):
                raise Untrusted("bad-proof", f"{tile_path(tile)} is not what the entries hash to")
            advance(1)
    return entries


def _read_entries(read: Read, size: int, advance: Callable[[int], None]) -> Iterator[bytes]:
    for index in range(-(-size // FULL_WIDTH)):
        tile = tile_at(level=0, index=index, size=size)
        try:
            entries = decode_entry_bundle(read(entries_path(tile)))
        except Malformed as error:
            raise Malformed(f"{entries_path(tile)} is damaged: {error}") from error
        if len(entries) != tile.width:
            raise Malformed(
                f"{entries_path(tile)} is damaged: {len(entries)} entries instead of {tile.width}"
            )
        yield from entries
        advance(len(entries))


def _name_damage(read: Read, head: Checkpoint, tree: MemoryTree) -> str:
    """What to say of entries that do not hash to the root."""
    told: list[bytes] = []
    differing = []
    for index in range(-(-head.size // FULL_WIDTH)):
        tile = tile_at(level=0, index=index, size=head.size)
        data = read(tile_path(tile))
        if data != encode_tile(tree.read_hashes(tile.positions())):
            differing.append(tile)
        told += [data[at : at + 32] for at in range(0, len(data), 32)]
    if not differing:
        return "entries and tiles agree, but do not make the root that checkpoint states"
    if len(told) == head.size and MemoryTree(told).root() == head.root:
        names = ", ".join(entries_path(tile) for tile in differing)
        return f"{names} is damaged: the tiles make the checkpoint's root, the entries do not"
    names = ", ".join(f"{entries_path(tile)} or {tile_path(tile)}" for tile in differing)
    return f"{names} is damaged: they do not belong together, nor to the checkpoint"
