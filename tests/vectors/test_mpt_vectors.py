# SPDX-License-Identifier: Apache-2.0
"""Roots of small trees from torchwood's `mpt`: the state map is that tree, bit for bit."""

from pathlib import Path

import pytest

from fieldpost.statemap import StateMap, verify_proof

pytestmark = pytest.mark.usefixtures("each_map_writer")


@pytest.fixture(scope="module")
def trees(shared_vectors: Path) -> list[tuple[dict[bytes, bytes], bytes]]:
    """Pairs and expected root of every tree in the file."""
    found: list[tuple[dict[bytes, bytes], bytes]] = []
    pairs: dict[bytes, bytes] = {}
    for line in (shared_vectors / "mpt" / "treehash.txt").read_text().splitlines():
        match line.split():
            case ["kv", key, value]:
                pairs[bytes.fromhex(key)] = bytes.fromhex(value)
            case ["hash", root]:
                found.append((pairs, bytes.fromhex(root)))
                pairs = {}
            case ["#", *_] | []:
                pass
            case _:
                raise ValueError(f"unknown line: {line}")
    return found


def test_roots_are_torchwoods(trees: list[tuple[dict[bytes, bytes], bytes]]) -> None:
    """Built at once, and grown key by key."""
    assert len(trees) == 8
    for pairs, root in trees:
        assert StateMap.build(pairs.items()).root == root
        grown = StateMap.empty()
        for key, value in pairs.items():
            grown = grown.update({key: value})
        assert grown.root == root


def test_proofs_lead_to_torchwoods_roots(trees: list[tuple[dict[bytes, bytes], bytes]]) -> None:
    """Also for the keys of the other trees, which may be absent from this one."""
    everything = {key for pairs, _ in trees for key in pairs}
    assert len(everything) > 3
    for pairs, root in trees:
        tree = StateMap.build(pairs.items())
        for key in everything:
            value, path = tree.prove(key)
            assert value == pairs.get(key)
            verify_proof(root=root, key=key, value=value, path=path)
