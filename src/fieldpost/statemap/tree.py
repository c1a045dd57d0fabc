# SPDX-License-Identifier: Apache-2.0
"""The state map itself: an immutable Merkle Patricia tree with structure shared between versions.

`update` returns a new map and leaves the old one whole, so a node can serve proofs against the
last published root while it works on the next; memory of an old version goes when its last
reference goes. The order of updates never shows: one set of pairs has one root.

Nodes are what Python keeps cheapest. A leaf is the bytes that are hashed for it. An inner node is a
tuple of bit, left, right and the bytes that are hashed for it, which hold the hashes of both sides:
so a write and a proof touch only the nodes on their way, and not those beside it, which in a large
map are in no cache of the processor.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Final, Union

from fieldpost.statemap.hashing import (
    BIT_PREFIX,
    EMPTY_ROOT,
    INNER_PREFIX,
    KEY_BITS,
    KEY_BYTES,
    encode_leaf,
    leaf_key,
    leaf_value,
)

_Inner = tuple[int, "_Node", "_Node", bytes]
_Node = Union[bytes, _Inner]  # noqa: UP007 - the alias is recursive
# How far the bits of a key, as a number, are shifted to the right for each position.
_SHIFT: Final = tuple(range(KEY_BITS - 1, -1, -1))
_MASK: Final = tuple(0x80 >> bit for bit in range(8))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StateMap:
    """An immutable map from 32-byte keys to byte strings, with a root hash and proofs."""

    _node: _Node | None
    _count: int

    @staticmethod
    def empty() -> "StateMap":
        """The map without keys; its root is SHA-256 of nothing."""
        return StateMap(None, 0)

    @staticmethod
    def build(items: Iterable[tuple[bytes, bytes]]) -> "StateMap":
        """A map of many pairs at once, in any order.

        Raises ValueError for a repeated key or one that is not 32 bytes: a bug of the caller.
        """
        pairs = list(items)
        _check_keys(key for key, _ in pairs)
        leaves = [encode_leaf(key, value) for key, value in pairs]
        # Encoded leaves sort by key: all that stands before the key is the same.
        leaves.sort()
        return StateMap(_build(leaves), len(leaves))

    @staticmethod
    def from_sorted(items: Iterable[tuple[bytes, bytes]]) -> "StateMap":
        """`build` of pairs that come sorted by key, without a second copy of them in memory.

        Raises ValueError for a key out of order, repeated, or not of 32 bytes.
        """
        count = 0

        def leaves() -> Iterator[bytes]:
            nonlocal count
            for key, value in items:
                if len(key) != KEY_BYTES:
                    _check_keys((key,))
                count += 1
                yield encode_leaf(key, value)

        node = _build(leaves())
        return StateMap(node, count)

    def update(self, writes: Mapping[bytes, bytes | None]) -> "StateMap":
        """The map after `writes`, of which None deletes. This map stays as it is.

        An inner node that several writes touch is hashed once; deletions, which only a step back
        to an older map needs, go one by one.
        Raises ValueError for a key that is not 32 bytes: a bug of the caller.
        """
        _check_keys(writes)
        # Encoded leaves sort by key: all that stands before the key is the same.
        leaves = sorted(
            [encode_leaf(key, value) for key, value in writes.items() if value is not None]
        )
        node, added = _set_all(self._node, leaves)
        count = self._count + added
        for key, value in writes.items():
            if value is None:
                before = node
                node = _without(node, key)
                count -= node is not before
        return StateMap(node, count)

    @property
    def root(self) -> bytes:
        """The 32-byte root hash."""
        return EMPTY_ROOT if self._node is None else _hash(self._node)

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"StateMap({self._count} keys, root {self.root.hex()})"

    def value(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""
        node = self._node
        # Bit by bit out of bytes: several times a post, and shifts of 256-bit integers are slow.
        while type(node) is tuple:
            bit = node[0]
            node = node[2] if key[bit >> 3] & _MASK[bit & 7] else node[1]
        if node is None:
            return None
        assert isinstance(node, bytes)
        return leaf_value(node) if leaf_key(node) == key else None

    def items(self, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """All pairs with a key of at least `start`, sorted by key."""
        waiting = [] if self._node is None else [self._node]
        while waiting:
            node = waiting.pop()
            if isinstance(node, tuple):
                waiting += (node[2], node[1])
            elif leaf_key(node) >= start:
                yield leaf_key(node), leaf_value(node)

    def prove(self, key: bytes) -> tuple[bytes | None, bytes]:
        """The value under `key` (None: absent) and the path that proves it (see `proof`).

        Raises ValueError for a key that is not 32 bytes: a bug of the caller.
        """
        _check_keys((key,))
        node = self._node
        if node is None:
            return None, b""
        walk = int.from_bytes(key, "big")
        steps: list[bytes] = []
        while isinstance(node, tuple):
            bit, left, right, hashed = node
            # Deepest first is the order of the path, so it is filled backwards.
            if walk >> _SHIFT[bit] & 1:
                node = right
                steps += (hashed[-64:-32], BIT_PREFIX[bit])
            else:
                node = left
                steps += (hashed[-32:], BIT_PREFIX[bit])
        if leaf_key(node) == key:
            steps.reverse()
            return leaf_value(node), b"".join(steps)
        # Key and value with their lengths: an encoded leaf without its first byte.
        steps.append(node[1:])
        steps.reverse()
        return None, b"".join(steps)


def _check_keys(keys: Iterable[bytes]) -> None:
    for key in keys:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a state map key has {KEY_BYTES} bytes, not {len(key)}")


def _hash(node: _Node) -> bytes:
    return sha256(node[3] if isinstance(node, tuple) else node).digest()


def _join(bit: int, left: _Node, right: _Node) -> _Inner:
    return bit, left, right, INNER_PREFIX[bit] + _hash(left) + _hash(right)


def _build(leaves: Iterable[bytes]) -> _Node | None:
    """The tree over sorted leaves, in one pass from left to right.

    The stack holds finished subtrees with their hashes, and between neighbours the bit that parts
    them; those bits grow from bottom to top, so a pair is joined as soon as a smaller bit turns up.
    """
    nodes: list[_Node] = []
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


def _join_last(nodes: list[_Node], hashes: list[bytes], bit: int) -> None:
    """Put the node over the last two in their place."""
    right, digest = nodes.pop(), hashes.pop()
    hashed = INNER_PREFIX[bit] + hashes[-1] + digest
    nodes[-1] = bit, nodes[-1], right, hashed
    hashes[-1] = sha256(hashed).digest()


def _set_all(node: _Node | None, leaves: Sequence[bytes]) -> tuple[_Node | None, int]:
    """The tree after sorted `leaves` were written, and how many of their keys are new.

    One walk from left to right. Inner nodes above the last write stay open until a write goes past
    them, and are made anew then: once, however many writes went below.
    """
    if node is None or not leaves:
        return node or _build(leaves), len(leaves)
    walks = [int.from_bytes(leaf_key(leaf), "big") for leaf in leaves]
    # The first bit in which each differs from the next one; after the last, all nodes are closed.
    partings = [KEY_BITS - (walk ^ after).bit_length() for walk, after in pairwise(walks)]
    opened: list[_Inner] = []
    added = 0
    for leaf, walk, parting, following in zip(
        leaves, walks, [*partings, -1], [*leaves[1:], b""], strict=True
    ):
        first = len(opened)
        while isinstance(node, tuple):
            opened.append(node)
            node = node[2] if walk >> _SHIFT[node[0]] & 1 else node[1]
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


def _insert(opened: list[_Inner], first: int, node: _Node, walk: int) -> None:
    """Open a node for a new key beside the leaf `node`, to which its walk led from `first` on.

    The side of the new key is empty in it until it is closed.
    """
    assert isinstance(node, bytes)
    apart = KEY_BITS - (walk ^ int.from_bytes(leaf_key(node), "big")).bit_length()
    while len(opened) > first and opened[-1][0] > apart:
        node = opened.pop()
    digest = _hash(node)
    hashed = INNER_PREFIX[apart] + digest + digest
    opened.append(
        (apart, node, b"", hashed) if walk >> _SHIFT[apart] & 1 else (apart, b"", node, hashed)
    )


def _close(opened: list[_Inner], parting: int, walk: int, leaf: bytes) -> tuple[_Node, bytes]:
    """Take the nodes below bit `parting` out of `opened`, and make them anew over `leaf`.

    One of which nothing changed is kept as it was. Returns the highest of them, and its hash.
    """
    # Nearly all time of a batch is spent in these lines: names of this function are found faster
    # than the module's, and what is hashed is put together from what was hashed before.
    new, shift = sha256, _SHIFT
    node: _Node = leaf
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


def _without(top: _Node | None, key: bytes) -> _Node | None:
    """The tree without `key`; the same one where it is not there."""
    walk = int.from_bytes(key, "big")
    node = top
    above: list[_Inner] = []
    while isinstance(node, tuple):
        above.append(node)
        node = node[2] if walk >> _SHIFT[node[0]] & 1 else node[1]
    if node is None or leaf_key(node) != key:
        return top
    node = None
    while above:
        bit, left, right, _ = above.pop()
        is_right = walk >> _SHIFT[bit] & 1
        if node is None:
            node = left if is_right else right
        else:
            node = _join(bit, left, node) if is_right else _join(bit, node, right)
    return node
