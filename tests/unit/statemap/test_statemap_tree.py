# SPDX-License-Identifier: Apache-2.0
"""The tree as its callers see it: what it refuses, what it shares, what it forgets."""

import gc
from hashlib import sha256

import pytest

from fieldpost.statemap import StateMap
from fieldpost.statemap.writing import Node as _Node

pytestmark = pytest.mark.usefixtures("each_map_writer")


def key(number: int) -> bytes:
    return sha256(number.to_bytes(4, "big")).digest()


MANY = {key(number): number.to_bytes(4, "big") for number in range(1000)}


def nodes(node: _Node | None) -> dict[int, _Node]:
    """Every node of a tree by identity."""
    found: dict[int, _Node] = {}
    rest = [node] if node else []
    while rest:
        found[id(node := rest.pop())] = node
        if isinstance(node, tuple):
            rest += [node[1], node[2]]
    return found


def test_all_pairs_come_sorted_from_any_key_on() -> None:
    tree, pairs = StateMap.build(MANY.items()), sorted(MANY.items())
    assert list(tree.items()) == pairs
    assert list(tree.items(pairs[400][0])) == pairs[400:]
    assert list(tree.items(b"\xff" * 32)) == list(StateMap.empty().items()) == []


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_the_callers_mistake(length: int) -> None:
    for mistake in (
        lambda: StateMap.build([(bytes(length), b"")]),
        lambda: StateMap.empty().update({bytes(length): b""}),
        lambda: StateMap.empty().prove(bytes(length)),
    ):
        with pytest.raises(ValueError, match="32 bytes"):
            mistake()


def test_build_refuses_a_repeated_key() -> None:
    with pytest.raises(ValueError, match="twice"):
        StateMap.build([(key(1), b"a"), (key(2), b"b"), (key(1), b"c")])


def test_one_write_makes_only_the_nodes_on_its_path() -> None:
    """What is not above the written leaf is the same object, or copy on write would be a copy."""
    before = StateMap.build(MANY.items())
    after = before.update({key(7): b"new"})
    fresh = nodes(after._node).keys() - nodes(before._node).keys()
    assert len(nodes(before._node)) == 1999
    assert 2 <= len(fresh) <= 24


def test_a_version_that_nobody_holds_is_forgotten() -> None:
    """Nodes of dropped versions go at once, without a cycle for the collector to find."""
    gc.collect()
    current = StateMap.build(MANY.items())
    root = current.root
    for number in range(50):
        current = current.update({key(number): b"x"}).update({key(number): MANY[key(number)]})
    assert current.root == root
    assert gc.collect() == 0


def test_deleting_every_key_leaves_the_empty_map() -> None:
    full = StateMap.build(MANY.items())
    emptied = full.update(dict.fromkeys(MANY))
    assert (emptied.root, len(emptied)) == (StateMap.empty().root, 0)
    assert len(full) == 1000


def test_repr_is_short_however_large_the_map() -> None:
    assert repr(StateMap.build(MANY.items())).startswith("StateMap(1000 keys, root ")
    assert len(repr(StateMap.build(MANY.items()))) < 120


def test_adjacent_keys_make_the_deepest_tree_without_trouble() -> None:
    """Keys that differ in one bit each: 257 leaves, one on every level."""
    pairs = {(1 << bit).to_bytes(32, "big"): b"x" for bit in range(256)} | {bytes(32): b"x"}
    deep = StateMap.build(pairs.items())
    value, path = deep.prove(bytes(32))
    assert value == b"x"
    assert len(path) == 128 * 33 + 128 * 34
    assert StateMap.empty().update(pairs).root == deep.root
    assert deep.update(dict.fromkeys(pairs)).root == StateMap.empty().root
