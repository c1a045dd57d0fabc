# SPDX-License-Identifier: Apache-2.0
"""A log of which several files are damaged at once: all of them are named, and nothing else is."""

from collections.abc import Callable
from hashlib import sha256

import pytest

from fieldpost.errors import Misconfigured, NotFound
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.tiles import (
    FULL_WIDTH,
    encode_entry_bundle,
    encode_tile,
    entries_path,
    tile_path,
    tiles_for,
)
from fieldpost.tlog.tree import MemoryTree
from fieldpost.tlog.treehead import Checkpoint
from fieldpost.watch.fsck_damage import MOST_NAMED, find_damage
from fieldpost.watch.fsck_log import Read

Files = dict[str, bytes]
Harm = Callable[[Files, str], None]


def log_of(size: int) -> tuple[Files, Checkpoint]:
    """All files of a log of `size` entries, and its head."""
    entries = [b"entry %d" % number for number in range(size)]
    tree = MemoryTree(map(leaf_hash, entries))
    files: Files = {}
    for tile in tiles_for(0, size):
        files[tile_path(tile)] = encode_tile(tree.read_hashes(tile.positions()))
        if tile.level == 0:
            first = tile.index * FULL_WIDTH
            files[entries_path(tile)] = encode_entry_bundle(entries[first : first + tile.width])
    return files, Checkpoint("board.test/1", size, tree.root())


def flip(files: Files, path: str) -> None:
    data = bytearray(files[path])
    data[len(data) // 2] ^= 1
    files[path] = bytes(data)


def cut(files: Files, path: str) -> None:
    files[path] = files[path][: len(files[path]) // 2]


def remove(files: Files, path: str) -> None:
    del files[path]


def reading(files: Files) -> Read:
    def read(path: str) -> bytes:
        if path not in files:
            raise NotFound(path)
        return files[path]

    return read


def named(files: Files, *heads: Checkpoint) -> dict[str, str]:
    return {one.path: one.what for one in find_damage(reading(files), heads)[1]}


@pytest.fixture(scope="module")
def long() -> tuple[Files, Checkpoint]:
    """Three whole bundles and a part of one."""
    return log_of(3 * FULL_WIDTH + 40)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 512])
def test_a_whole_log_has_no_damage(size: int) -> None:
    files, head = log_of(size)
    assert named(files, head) == {}


@pytest.mark.parametrize("harm", [flip, cut, remove])
@pytest.mark.parametrize("kind", ["tile/entries/", "tile/0/", "tile/1/"])
def test_however_many_files_of_one_kind_are_damaged_all_are_named_and_no_other(
    long: tuple[Files, Checkpoint], kind: str, harm: Harm
) -> None:
    files, head = dict(long[0]), long[1]
    harmed = {path for path in files if path.startswith(kind)}
    for path in harmed:
        harm(files, path)
    assert set(named(files, head)) == harmed


@pytest.mark.parametrize("seed", range(30))
def test_files_of_all_kinds_are_named_together_while_one_account_of_each_place_is_left(
    long: tuple[Files, Checkpoint], seed: int
) -> None:
    files, head = dict(long[0]), long[1]
    drawn = sha256(b"%d" % seed).digest()
    harmed = {"tile/1/000.p/3"} if seed % 3 == 0 else set()
    for number, byte in enumerate(drawn[:4]):
        width = "" if number < 3 else ".p/40"
        kinds = [kind for bit, kind in enumerate(("entries", "0")) if byte >> bit & 1]
        # The tile above knows whole bundles; without it there are two accounts, and not three.
        most = 1 if number == 3 or harmed & {"tile/1/000.p/3"} else 2
        harmed.update(f"tile/{kind}/00{number}{width}" for kind in kinds[:most])
    for path in harmed:
        (flip, cut, remove)[drawn[len(path) % 7] % 3](files, path)
    assert set(named(files, head)) == harmed


def test_what_two_of_three_say_of_each_place_is_the_truth(
    long: tuple[Files, Checkpoint],
) -> None:
    """No kind of file is whole, and none of the heads is blamed for it."""
    files, head = dict(long[0]), long[1]
    above = bytearray(files["tile/1/000.p/3"])
    above[2 * 32] ^= 1
    files["tile/1/000.p/3"] = bytes(above)
    bundle, tile = "tile/entries/000", "tile/0/001"
    files[bundle], files[tile] = files[bundle][:-1] + b"?", files[tile][:-1] + b"?"
    assert set(named(files, head)) == {bundle, tile, "tile/1/000.p/3"}


def test_of_two_accounts_that_are_both_damaged_the_readable_one_is_doubted(
    long: tuple[Files, Checkpoint],
) -> None:
    files, head = dict(long[0]), long[1]
    cut(files, "tile/entries/003.p/40")
    flip(files, "tile/0/003.p/40")
    found = named(files, head)
    assert set(found) == {"tile/entries/003.p/40", "tile/0/003.p/40"}
    assert "may be damaged" in found["tile/0/003.p/40"]


def test_files_that_contradict_each_other_are_named_with_each_other(
    long: tuple[Files, Checkpoint],
) -> None:
    """Both accounts of the last entries are damaged, and a file elsewhere, outvoted by two."""
    files, head = dict(long[0]), long[1]
    last = ["tile/entries/003.p/40", "tile/0/003.p/40"]
    for path in (*last, "tile/0/001"):
        files[path] = files[path][:-1] + b"?"
    found = named(files, head)
    assert set(found) == {*last, "tile/0/001"}
    assert last[1] in found[last[0]]
    assert last[0] in found[last[1]]
    assert "two other files" in found["tile/0/001"]


def test_a_checkpoint_of_another_log_is_named_where_all_files_agree(
    long: tuple[Files, Checkpoint],
) -> None:
    files, head = long
    assert set(named(files, Checkpoint(head.origin, head.size, bytes(32)))) == {"checkpoint"}


def test_what_the_node_signed_last_is_the_measure_where_the_checkpoint_lies(
    long: tuple[Files, Checkpoint],
) -> None:
    files, head = dict(long[0]), long[1]
    flip(files, "tile/0/001")
    lie = Checkpoint(head.origin, 9 * head.size, head.root)
    assert set(named(files, lie, head)) == {"tile/0/001"}


@pytest.mark.parametrize("size", [3 * FULL_WIDTH + 20, 2 * FULL_WIDTH + 9, 2 * FULL_WIDTH, 5])
def test_a_checkpoint_behind_what_was_signed_is_whole_where_wider_files_prove_it(
    long: tuple[Files, Checkpoint], size: int
) -> None:
    """All files of its own last part are damaged: they are named, and it is not."""
    files, head = dict(long[0]), long[1]
    older, claimed = log_of(size)
    last = {path for path in older if path.endswith(f".p/{size % FULL_WIDTH}")}
    files |= {path: older[path] for path in older if path not in files}
    for path in last | {"tile/0/001"}:
        flip(files, path)
    # Without them only the newer head can be proven, and no other is.
    assert find_damage(reading(files), [claimed])[1]
    proven, damage = find_damage(reading(files), [claimed, head])
    assert proven == claimed
    assert {one.path for one in damage} == last | {"tile/0/001"}
    other = Checkpoint(head.origin, size, bytes(32))
    assert find_damage(reading(files), [other, head])[0] == head


def test_the_search_ends_and_says_so_where_too_much_is_damaged() -> None:
    """A digit of the size was flipped: there are no such files, and nobody looks for all."""
    files, head = log_of(40)
    found = named(files, Checkpoint(head.origin, 2**62, head.root))
    assert len(found) == MOST_NAMED + 1
    assert "there may be more" in found["checkpoint"]


def test_a_file_that_may_not_be_read_is_no_damage() -> None:
    _, head = log_of(3)

    def read(path: str) -> bytes:
        raise Misconfigured(f"{path} cannot be read")

    with pytest.raises(Misconfigured, match="cannot be read"):
        find_damage(read, [head])
