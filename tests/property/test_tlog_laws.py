# SPDX-License-Identifier: Apache-2.0
"""Laws of the tree, its proofs, its tiles and the formats around them."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpost.errors import Malformed, NotFound, Untrusted
from fieldpost.tlog.hashing import EMPTY_ROOT, leaf_hash, node_hash
from fieldpost.tlog.proof import (
    prove_consistency,
    prove_inclusion,
    prove_inclusions,
    root_from_edge,
    verify_consistency,
    verify_inclusion,
)
from fieldpost.tlog.tiles import Tile, TileHashReader, encode_tile, tile_at, tiles_for
from fieldpost.tlog.tree import CompactRange, MemoryTree, read_compact_range

MAX = 130
LEAVES = [leaf_hash(index.to_bytes(2, "big")) for index in range(MAX)]
TREE = MemoryTree(LEAVES)


def plain_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word: what every cleverer way must equal."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(plain_root(leaves[:split]), plain_root(leaves[split:]))


ROOTS = [plain_root(LEAVES[:size]) for size in range(MAX + 1)]


def test_appending_leaf_by_leaf_gives_the_plain_root_of_every_size() -> None:
    grown = CompactRange.empty()
    assert grown.root() == EMPTY_ROOT
    for size, leaf in enumerate(LEAVES, start=1):
        grown = grown.append(leaf)
        assert grown.root() == ROOTS[size]
        assert grown == CompactRange.empty().extend(LEAVES[:size])
        assert grown == read_compact_range(TREE, size=size)


@given(st.data())
def test_leaves_that_are_proved_together_have_the_paths_of_each_alone(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, MAX))
    indexes = data.draw(st.lists(st.integers(0, size - 1), max_size=20))
    alone = [prove_inclusion(TREE, index=index, size=size) for index in indexes]
    assert prove_inclusions(TREE, indexes=indexes, size=size) == alone


def test_every_leaf_of_every_tree_proves() -> None:
    for size in range(1, MAX + 1):
        for index in range(size):
            verify_inclusion(
                leaf_hash=LEAVES[index],
                index=index,
                size=size,
                root=ROOTS[size],
                path=prove_inclusion(TREE, index=index, size=size),
            )


def test_every_tree_is_consistent_with_every_later_one() -> None:
    for size in range(1, MAX + 1):
        for old_size in range(1, size + 1):
            verify_consistency(
                old_size=old_size,
                old_root=ROOTS[old_size],
                size=size,
                root=ROOTS[size],
                path=prove_consistency(TREE, old_size=old_size, size=size),
            )


def test_the_right_edge_is_known_before_the_leaf_and_has_popcount_hashes() -> None:
    grown = CompactRange.empty()
    for index, leaf in enumerate(LEAVES):
        edge = grown.edge()
        assert len(edge) == index.bit_count()
        assert edge == prove_inclusion(TREE, index=index, size=index + 1)
        assert root_from_edge(leaf_hash=leaf, index=index, edge=edge) == ROOTS[index + 1]
        grown = grown.append(leaf)


def flips(proof: tuple[bytes, ...], bit: int) -> Iterator[tuple[bytes, ...]]:
    """The proof with the bit flipped in each hash, and with one hash more, less or too short."""
    for at, item in enumerate(proof):
        yield (*proof[:at], flip(item, bit), *proof[at + 1 :])
        yield (*proof[:at], item[:-1], *proof[at + 1 :])
    yield (*proof, bytes(32))
    if proof:
        yield proof[1:]
        yield proof[:-1]


def flip(item: bytes, bit: int) -> bytes:
    changed = bytearray(item)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(data=st.data(), bit=st.integers(0, 255))
def test_no_inclusion_proof_survives_any_change(data: st.DataObject, bit: int) -> None:
    size = data.draw(st.integers(1, MAX))
    index = data.draw(st.integers(0, size - 1))
    path = prove_inclusion(TREE, index=index, size=size)
    good: dict[str, Any] = {
        "leaf_hash": LEAVES[index],
        "index": index,
        "size": size,
        "root": ROOTS[size],
        "path": path,
    }
    verify_inclusion(**good)
    changes: list[dict[str, Any]] = [
        {"root": flip(ROOTS[size], bit)},
        {"leaf_hash": flip(LEAVES[index], bit)},
        {"leaf_hash": LEAVES[index][:-1]},
        *({"path": changed} for changed in flips(path, bit)),
        *({"index": other} for other in range(-1, size + 1) if other != index),
    ]
    for change in changes:
        with pytest.raises((Malformed, Untrusted)):
            verify_inclusion(**(good | change))


@given(data=st.data(), bit=st.integers(0, 255))
def test_no_consistency_proof_survives_any_change(data: st.DataObject, bit: int) -> None:
    size = data.draw(st.integers(1, MAX))
    old_size = data.draw(st.integers(1, size))
    path = prove_consistency(TREE, old_size=old_size, size=size)
    good: dict[str, Any] = {
        "old_size": old_size,
        "old_root": ROOTS[old_size],
        "size": size,
        "root": ROOTS[size],
        "path": path,
    }
    verify_consistency(**good)
    changes: list[dict[str, Any]] = [
        {"root": flip(ROOTS[size], bit)},
        {"old_root": flip(ROOTS[old_size], bit)},
        {"root": ROOTS[size] + b"\0"},
        {"old_size": 0},
        {"old_size": size + 1},
        *({"path": changed} for changed in flips(path, bit)),
        *({"old_size": other} for other in range(1, size + 1) if other != old_size),
    ]
    for change in changes:
        with pytest.raises((Malformed, Untrusted)):
            verify_consistency(**(good | change))


def test_a_proof_never_leads_to_a_root_of_another_size() -> None:
    """The shape alone does not fix the size, so a root counts only with the size signed beside it.

    Leaf 0 has paths of the same shape in trees of 3 and of 4 leaves.
    """
    three = prove_inclusion(TREE, index=0, size=3)
    verify_inclusion(leaf_hash=LEAVES[0], index=0, size=4, root=ROOTS[3], path=three)
    for size in range(1, 40):
        for index in range(size):
            path = prove_inclusion(TREE, index=index, size=size)
            for other in range(index + 1, 41):
                if other == size:
                    continue
                with pytest.raises((Malformed, Untrusted)):
                    verify_inclusion(
                        leaf_hash=LEAVES[index],
                        index=index,
                        size=other,
                        root=ROOTS[other],
                        path=path,
                    )


# --- tiles ---------------------------------------------------------------------------------------

BIG = 65_536 + 17
BIG_LEAVES = [sha256(index.to_bytes(4, "big")).digest() for index in range(BIG)]
BIG_TREE = MemoryTree(BIG_LEAVES)


def written(sizes: list[int]) -> dict[Tile, bytes]:
    """The tiles of a log that was published at these sizes."""
    files, old = {}, 0
    for size in sizes:
        for tile in tiles_for(old, size):
            files[tile] = encode_tile(BIG_TREE.read_hashes(tile.positions()))
        old = size
    return files


def reading(files: dict[Tile, bytes]) -> Callable[[Tile], bytes]:
    def read_tile(tile: Tile) -> bytes:
        if tile not in files:
            raise NotFound(str(tile))
        return files[tile]

    return read_tile


SIZES = [1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, BIG]


@pytest.mark.parametrize("keep_partials", [True, False])
def test_tiles_answer_as_the_tree_in_memory(keep_partials: bool) -> None:
    files = written(SIZES)
    if not keep_partials:
        files = {t: d for t, d in files.items() if t.width == 256 or t.full() not in files}
    for size in SIZES:
        reader = TileHashReader(reading(files), size)
        small = read_compact_range(BIG_TREE, size=size)
        assert read_compact_range(reader, size=size) == small
        for index in {0, size // 2, max(0, size - 256), size - 1}:
            path = prove_inclusion(reader, index=index, size=size)
            assert path == prove_inclusion(BIG_TREE, index=index, size=size)
            verify_inclusion(
                leaf_hash=BIG_LEAVES[index], index=index, size=size, root=small.root(), path=path
            )
        for old_size in (old for old in SIZES if old <= size):
            asked = {"old_size": old_size, "size": size}
            assert prove_consistency(reader, **asked) == prove_consistency(BIG_TREE, **asked)


def test_tiles_answer_every_position_of_a_small_log() -> None:
    size = 700
    reader = TileHashReader(reading(written([size])), size)
    positions = [(level, i) for level in range(10) for i in range(size >> level)]
    assert reader.read_hashes(positions) == BIG_TREE.read_hashes(positions)
    for level in range(11):
        with pytest.raises(NotFound):
            reader.read_hashes([(level, size >> level)])


@given(sizes=st.lists(st.integers(1, 66_000), min_size=1, max_size=6))
@settings(max_examples=50)
def test_growing_in_steps_writes_every_tile_of_the_last_size(sizes: list[int]) -> None:
    steps = sorted(sizes)
    seen: set[Tile] = set()
    old = 0
    for size in steps:
        new = tiles_for(old, size)
        assert len(new) == len(set(new))
        assert seen.isdisjoint(new)
        seen.update(new)
        old = size
    assert seen >= set(tiles_for(0, steps[-1]))
    for tile in seen:
        last = tile_at(level=tile.level, index=tile.index, size=steps[-1])
        assert last.width >= tile.width
