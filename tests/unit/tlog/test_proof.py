# SPDX-License-Identifier: Apache-2.0
"""Shapes of proofs, by hand; the laws are in tests/property."""

from collections.abc import Sequence

import pytest

from fieldpost.errors import Malformed, Untrusted
from fieldpost.tlog.hashing import EMPTY_ROOT, leaf_hash, node_hash
from fieldpost.tlog.proof import (
    prove_consistency,
    prove_inclusion,
    root_from_edge,
    verify_consistency,
    verify_inclusion,
)
from fieldpost.tlog.tree import CompactRange, MemoryTree, Position

A, B, C = (leaf_hash(name) for name in (b"a", b"b", b"c"))
AB = node_hash(A, B)
ABC = node_hash(AB, C)


def test_hashes_of_leaves_and_nodes_are_those_of_rfc_6962() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )


def test_a_node_cannot_pass_for_a_leaf() -> None:
    assert leaf_hash(A + B) != node_hash(A, B)


def test_the_right_edge_of_three_leaves_is_the_pair_before_the_last() -> None:
    before = CompactRange.empty().extend([A, B])
    assert before.edge() == (AB,)
    assert root_from_edge(leaf_hash=C, index=2, edge=before.edge()) == ABC


@pytest.mark.parametrize(
    ("index", "edge"),
    [(2, ()), (2, (AB, AB)), (2, (AB[:-1],)), (0, (A,)), (-1, ()), (3, (C,))],
)
def test_an_edge_of_any_other_shape_is_malformed(index: int, edge: tuple[bytes, ...]) -> None:
    with pytest.raises(Malformed):
        root_from_edge(leaf_hash=C, index=index, edge=edge)


def test_a_proof_that_leads_elsewhere_is_untrusted() -> None:
    with pytest.raises(Untrusted) as caught:
        verify_inclusion(leaf_hash=B, index=2, size=3, root=ABC, path=(AB,))
    assert caught.value.reason == "bad-proof"
    with pytest.raises(Untrusted) as caught:
        verify_consistency(old_size=2, old_root=ABC, size=3, root=ABC, path=(C,))
    assert caught.value.reason == "bad-proof"


def test_two_roots_of_one_size_are_not_consistent() -> None:
    verify_consistency(old_size=3, old_root=ABC, size=3, root=ABC, path=())
    with pytest.raises(Untrusted):
        verify_consistency(old_size=3, old_root=ABC, size=3, root=AB, path=())


@pytest.mark.parametrize(("old_size", "size"), [(0, 3), (0, 0), (4, 3), (-1, 3)])
def test_an_empty_or_larger_old_tree_proves_nothing(old_size: int, size: int) -> None:
    with pytest.raises(Malformed):
        verify_consistency(old_size=old_size, old_root=EMPTY_ROOT, size=size, root=ABC, path=())
    with pytest.raises(Malformed):
        prove_consistency(MemoryTree([A, B, C]), old_size=old_size, size=size)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_a_leaf_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(Malformed):
        prove_inclusion(MemoryTree([A, B, C]), index=index, size=size)


@pytest.mark.parametrize(("size", "hashes"), [(1, ()), (2, (A, B)), (3, (AB, C[:-1])), (-1, ())])
def test_a_compact_range_of_another_shape_is_malformed(
    size: int, hashes: tuple[bytes, ...]
) -> None:
    with pytest.raises(Malformed):
        CompactRange(size, hashes)


class CountingReader:
    """A tree that remembers how often it was asked."""

    def __init__(self, tree: MemoryTree) -> None:
        self.tree = tree
        self.calls = 0

    def read_hashes(self, positions: Sequence[Position]) -> list[bytes]:
        """As the tree does."""
        self.calls += 1
        return self.tree.read_hashes(positions)


def test_a_proof_asks_its_reader_once() -> None:
    reader = CountingReader(MemoryTree(leaf_hash(bytes([i])) for i in range(100)))
    prove_inclusion(reader, index=70, size=99)
    assert reader.calls == 1
    prove_consistency(reader, old_size=70, size=99)
    assert reader.calls == 2
