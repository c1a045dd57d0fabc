# SPDX-License-Identifier: Apache-2.0
"""Coordinates, paths and bundles of C2SP tlog-tiles."""

import pytest

from fieldpost.errors import Malformed, NotFound
from fieldpost.tlog.tiles import (
    Tile,
    TileHashReader,
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


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 999), "tile/0/999"),
        (Tile(1, 1000), "tile/1/x001/000"),
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
        (Tile(2, 273, 112), "tile/2/273.p/112"),
        (Tile(63, 0, 1), "tile/63/000.p/1"),
    ],
)
def test_tile_paths_are_those_of_the_spec(tile: Tile, path: str) -> None:
    assert tile_path(tile) == path
    assert parse_tile_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/entries/000",
        "tile/0/../000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
    ],
)
def test_any_other_spelling_of_a_tile_path_is_malformed(path: str) -> None:
    with pytest.raises(Malformed):
        parse_tile_path(path)


def test_entry_bundles_lie_beside_the_level_0_tiles() -> None:
    assert entries_path(Tile(0, 1000, 5)) == "tile/entries/x001/000.p/5"
    assert parse_entries_path("tile/entries/x001/000.p/5") == Tile(0, 1000, 5)
    with pytest.raises(ValueError, match="level-0"):
        entries_path(Tile(1, 0))
    with pytest.raises(Malformed):
        parse_entries_path("tile/0/000")


def test_a_log_of_70000_entries_has_the_tiles_that_the_spec_counts() -> None:
    tiles = tiles_for(0, 70_000)
    full = [tile for tile in tiles if tile.width == 256]
    assert sum(tile.level == 0 for tile in full) == 273
    assert [tile for tile in full if tile.level] == [Tile(1, 0)]
    assert [tile for tile in tiles if tile.width < 256] == [
        Tile(0, 273, 112),
        Tile(1, 1, 17),
        Tile(2, 0, 1),
    ]


def test_growth_names_only_new_tiles() -> None:
    assert tiles_for(5, 5) == []
    assert tiles_for(0, 0) == []
    assert tiles_for(254, 255) == [Tile(0, 0, 255)]
    assert tiles_for(255, 256) == [Tile(0, 0), Tile(1, 0, 1)]
    assert tiles_for(256, 257) == [Tile(0, 1, 1)]
    with pytest.raises(ValueError, match="does not go"):
        tiles_for(2, 1)


def test_a_tile_is_as_wide_as_the_log_has_it() -> None:
    assert tile_at(level=0, index=1, size=300) == Tile(0, 1, 44)
    assert tile_at(level=0, index=0, size=300) == Tile(0, 0)
    for level, index in ((0, 2), (1, 1), (2, 0)):
        with pytest.raises(NotFound):
            tile_at(level=level, index=index, size=300)


@pytest.mark.parametrize(
    "coordinates", [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)]
)
def test_no_tile_lies_outside_the_grid(coordinates: tuple[int, int, int]) -> None:
    with pytest.raises(Malformed):
        Tile(*coordinates)


def test_a_tile_of_another_length_is_malformed() -> None:
    data = encode_tile([bytes(32), bytes(32)])
    assert decode_tile(Tile(0, 0, 2), data) == [bytes(32)] * 2
    for wrong in (data[:-1], data + b"\0", data[:32], b""):
        with pytest.raises(Malformed):
            decode_tile(Tile(0, 0, 2), wrong)


def test_entries_fill_a_bundle_up_to_their_limit() -> None:
    entries = [b"", b"a", b"b" * 65_535]
    assert encode_entry_bundle(entries[:2]) == b"\0\0\0\1a"
    assert decode_entry_bundle(encode_entry_bundle(entries)) == entries
    for wrong in ([], [b"c" * 65_536], [b""] * 257):
        with pytest.raises(ValueError, match="bundle"):
            encode_entry_bundle(wrong)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\1", b"\0\0\0", b"\0\0" * 257])
def test_a_bundle_cut_off_empty_or_too_long_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_entry_bundle(data)


def test_a_missing_full_tile_is_not_found() -> None:
    def read_tile(tile: Tile) -> bytes:
        raise NotFound(tile_path(tile))

    with pytest.raises(NotFound):
        TileHashReader(read_tile, 256).read_hashes([(0, 0)])


def test_a_reader_reads_each_tile_once() -> None:
    asked: list[Tile] = []

    def read_tile(tile: Tile) -> bytes:
        asked.append(tile)
        return bytes(32 * tile.width)

    TileHashReader(read_tile, 300).read_hashes([(0, 0), (0, 255), (3, 1), (0, 299), (8, 0)])
    assert asked == [Tile(0, 0), Tile(0, 1, 44), Tile(1, 0, 1)]
