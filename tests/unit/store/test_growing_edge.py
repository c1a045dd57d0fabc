# SPDX-License-Identifier: Apache-2.0
"""A log that grows batch by batch has the files that C2SP names, however the batches were cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.errors import NotFound
from fieldpost.store.growing_edge import GrowingEdge, read_edge
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.tiles import (
    Tile,
    TileHashReader,
    decode_entry_bundle,
    encode_tile,
    entries_path,
    tile_path,
    tiles_for,
)
from fieldpost.tlog.tree import CompactRange, MemoryTree, read_compact_range


def entry(index: int) -> bytes:
    return f"entry {index}".encode()


def grown(sizes: list[int]) -> tuple[GrowingEdge, dict[str, bytes]]:
    edge, files = GrowingEdge(CompactRange.empty()), dict[str, bytes]()
    for before, after in pairwise([0, *sizes]):
        edge, new = edge.grow([entry(index) for index in range(before, after)])
        assert set(new) == expected_names(before, after)
        files |= new
    return edge, files


def expected_names(before: int, after: int) -> set[str]:
    tiles = tiles_for(before, after)
    names = {tile_path(tile) for tile in tiles}
    return names | {entries_path(tile) for tile in tiles if tile.level == 0}


def reader_of(files: dict[str, bytes], size: int) -> TileHashReader:
    def read(tile: Tile) -> bytes:
        try:
            return files[tile_path(tile)]
        except KeyError:
            raise NotFound(tile_path(tile)) from None

    return TileHashReader(read, size)


@given(st.lists(st.integers(1, 1_200), min_size=1, max_size=6, unique=True).map(sorted))
def test_files_and_edge_are_those_of_the_whole_tree(sizes: list[int]) -> None:
    edge, files = grown(sizes)
    size = sizes[-1]
    tree = MemoryTree(leaf_hash(entry(index)) for index in range(size))
    assert (edge.size, edge.range.root()) == (size, tree.root())
    assert edge.last_edge == read_compact_range(tree, size=size - 1).edge()
    for tile in tiles_for(0, size):
        assert files[tile_path(tile)] == encode_tile(
            [tree.read_hashes([position])[0] for position in tile.positions()]
        )
        if tile.level == 0:
            first = tile.index * 256
            bundle = decode_entry_bundle(files[entries_path(tile)])
            assert bundle == [entry(index) for index in range(first, first + tile.width)]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 65_536, 65_537, 66_000])
def test_an_edge_read_back_from_tiles_is_the_edge_that_was_grown(size: int) -> None:
    edge, files = grown([size])
    reader = reader_of(files, size)
    range_ = read_compact_range(reader, size=size)
    assert read_edge(reader, range_, edge.bundle) == edge


def test_an_entry_that_no_bundle_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="65,535"):
        GrowingEdge(CompactRange.empty()).grow([bytes(65_536)])
