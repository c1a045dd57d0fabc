# SPDX-License-Identifier: Apache-2.0
"""What the tree's nodes are, and how a batch of writes makes new ones: in C, or in Python.

Nodes are what Python keeps cheapest. A leaf is the bytes that are hashed for it. An inner node is a
tuple of bit, left, right and the bytes that are hashed for it, which hold the hashes of both sides:
so a write and a proof touch only the nodes on their way, and not those beside it, which in a large
map are in no cache of the processor.

`set_all` is the function in `_writing.c` where that was built, and otherwise the one below: equal
trees out of equal writes, which tests hold both to (docs/design/0008-one-file-of-c.md).
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Final, Union

from fieldpost.statemap.hashing import INNER_PREFIX, KEY_BITS, leaf_key

Inner = tuple[int, "Node", "Node", bytes]
Node = Union[bytes, Inner]  # noqa: UP007 - the alias is recursive
# How far the bits of a key, as a number, are shifted to the right for each position.
SHIFT: Final = tuple(range(KEY_BITS - 1, -1, -1))


def hash_of(node: Node) -> bytes:
    """The 32-byte hash of a node."""
    return sha256(node[3] if isinstance(node, tuple) else node).digest()


def set_all_in_python(node: Node | None, leaves: Sequence[bytes]) -> tuple[Node | None, int]:
    """The tree after sorted `leaves` were written, and how many of their keys are new.

    One walk from left to right. Inner nodes above the last write stay open until a write goes past
    them, and are made anew then: once, however many writes went below.
    """
    if node is None or not leaves:
        return node or _build(leaves), len(leaves)
    walks = [int.from_bytes(leaf_key(leaf), "big") for leaf in leaves]
    # The first bit in which each differs from the next one; after the last, all nodes are closed.
    partings = [KEY_BITS - (walk ^ after).bit_length() for walk, after in pairwise(walks)]
    opened: list[Inner] = []
    added = 0
    for leaf, walk, parting, following in zip(
        leaves, walks, [*partings, -1], [*leaves[1:], b""], strict=True
    ):
        first = len(opened)
        while isinstance(node, tuple):
            opened.append(node)
            node = node[2] if walk >> SHIFT[node[0]] & 1 else node[1]
        if leaf_key(node) != leaf_key(leaf):
            _insert(opened, first, node, walk)
            added += 1
            node = leaf
        # An equal leaf stays, and with it the nodes above of which nothing else changed.
        elif node != leaf:
            node = leaf
        node, digest = _close(opened, parting, walk, node)
        if opened and opened[-1][0] == parting:
            _, left, right, hashed = opened[-1]
            if node is not left:
                opened[-1] = parting, node, right, hashed[:-64] + digest + hashed[-32:]
            node = right
        elif following:
            # No node parted these two writes so far.
            opened.append((parting, node, b"", INNER_PREFIX[parting] + digest + digest))
            node = following
            added += 1
    return node, added


def _build(leaves: Iterable[bytes]) -> Node | None:
    """The tree over sorted leaves, in one pass from left to right.

    The stack holds finished subtrees with their hashes, and between neighbours the bit that parts
    them; those bits grow from bottom to top, so a pair is joined as soon as a smaller bit turns up.
    """
    nodes: list[Node] = []
    hashes: list[bytes] = []
    bits: list[int] = []
    previous = 0
    for leaf in leaves:
        walk = int.from_bytes(leaf_key(leaf), "big")
        if nodes:
            if walk <= previous:
                raise ValueError(f"key {leaf_key(leaf).hex()} occurs twice, or out of order")
            apart = KEY_BITS - (walk ^ previous).bit_length()
            while bits and bits[-1] > apart:
                _join_last(nodes, hashes, bits.pop())
            bits.append(apart)
        nodes.append(leaf)
        hashes.append(sha256(leaf).digest())
        previous = walk
    while bits:
        _join_last(nodes, hashes, bits.pop())
    return nodes[0] if nodes else None


def _join_last(nodes: list[Node], hashes: list[bytes], bit: int) -> None:
    """Put the node over the last two in their place."""
    right, digest = nodes.pop(), hashes.pop()
    hashed = INNER_PREFIX[bit] + hashes[-1] + digest
    nodes[-1] = bit, nodes[-1], right, hashed
    hashes[-1] = sha256(hashed).digest()


def _insert(opened: list[Inner], first: int, node: Node, walk: int) -> None:
    """Open a node for a new key beside the leaf `node`, to which its walk led from `first` on.

    The side of the new key is empty in it until it is closed.
    """
    assert isinstance(node, bytes)
    apart = KEY_BITS - (walk ^ int.from_bytes(leaf_key(node), "big")).bit_length()
    while len(opened) > first and opened[-1][0] > apart:
        node = opened.pop()
    digest = hash_of(node)
    hashed = INNER_PREFIX[apart] + digest + digest
    opened.append(
        (apart, node, b"", hashed) if walk >> SHIFT[apart] & 1 else (apart, b"", node, hashed)
    )


def _close(opened: list[Inner], parting: int, walk: int, leaf: bytes) -> tuple[Node, bytes]:
    """Take the nodes below bit `parting` out of `opened`, and make them anew over `leaf`.

    One of which nothing changed is kept as it was. Returns the highest of them, and its hash.
    """
    # Nearly all time of a batch is spent in these lines: names of this function are found faster
    # than the module's, and what is hashed is put together from what was hashed before.
    new, shift = sha256, SHIFT
    node: Node = leaf
    digest = new(leaf).digest()
    while opened:
        above = opened[-1]
        bit, left, right, hashed = above
        if bit <= parting:
            break
        opened.pop()
        if walk >> shift[bit] & 1:
            if node is right:
                node = above
            else:
                hashed = hashed[:-32] + digest
                node = bit, left, node, hashed
        elif node is left:
            node = above
        else:
            hashed = hashed[:-64] + digest + hashed[-32:]
            node = bit, node, right, hashed
        digest = new(hashed).digest()
    return node, digest


# The language that batches are written in here: "c" or "python".
WRITTEN_IN: str
try:
    from fieldpost.statemap import _writing

    set_all = _writing.set_all
    WRITTEN_IN = "c"
except ImportError:
    # Not built here, built for another system, or without a SHA-256 that it can call.
    set_all = set_all_in_python
    WRITTEN_IN = "python"
