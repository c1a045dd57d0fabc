# SPDX-License-Identifier: Apache-2.0
"""The state map itself: an immutable Merkle Patricia tree with structure shared between versions.

`update` returns a new map and leaves the old one whole, so a node can serve proofs against the
last published root while it works on the next; memory of an old version goes when its last
reference goes. The order of updates never shows: one set of pairs has one root.

Nodes are what Python keeps cheapest. A leaf is the bytes that are hashed for it; its hash is made
when asked for. An inner node is a tuple of bit, left, right, hash and some leaf that is or was
below it, whose key tells where a write leaves the common prefix of the subtree.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Union

from fieldpost.statemap.hashing import (
    BIT_PREFIX,
    EMPTY_ROOT,
    KEY_BITS,
    KEY_BYTES,
    encode_leaf,
    inner_hash,
    leaf_hash,
    leaf_key,
    leaf_value,
)

_Inner = tuple[int, "_Node", "_Node", bytes, bytes]
_Node = Union[bytes, _Inner]  # noqa: UP007 - the alias is recursive
_TOP: Final = KEY_BITS - 1
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
                _check_keys((key,))
                count += 1
                yield encode_leaf(key, value)

        node = _build(leaves())
        return StateMap(node, count)

    def update(self, writes: Mapping[bytes, bytes | None]) -> "StateMap":
        """The map after `writes`, of which None deletes. This map stays as it is.

        One pass over the batch: an inner node that several writes touch is hashed once.
        Raises ValueError for a key that is not 32 bytes: a bug of the caller.
        """
        _check_keys(writes)
        merge = _Merge(writes)
        node = merge.into(self._node, 0, len(merge.keys))
        return StateMap(node, self._count + merge.added)

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
            bit, left, right, _, _ = node
            node, sibling = (right, left) if walk >> (_TOP - bit) & 1 else (left, right)
            # Deepest first is the order of the path, so it is filled backwards.
            steps += (_hash(sibling), BIT_PREFIX[bit])
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
    return node[3] if isinstance(node, tuple) else leaf_hash(node)


def _join(bit: int, left: _Node, right: _Node) -> _Inner:
    some_leaf = left[4] if isinstance(left, tuple) else left
    return bit, left, right, inner_hash(bit, _hash(left), _hash(right)), some_leaf


def _build(leaves: Iterable[bytes]) -> _Node | None:
    """The tree over sorted leaves, in one pass from left to right.

    The stack holds finished subtrees, and between neighbours the bit that parts them; those bits
    grow from bottom to top, so a pair is joined as soon as a smaller bit turns up.
    """
    nodes: list[_Node] = []
    bits: list[int] = []
    previous = 0
    for leaf in leaves:
        walk = int.from_bytes(leaf_key(leaf), "big")
        if nodes:
            if walk <= previous:
                raise ValueError(f"key {leaf_key(leaf).hex()} occurs twice, or out of order")
            apart = KEY_BITS - (walk ^ previous).bit_length()
            while bits and bits[-1] > apart:
                right = nodes.pop()
                nodes[-1] = _join(bits.pop(), nodes[-1], right)
            bits.append(apart)
        nodes.append(leaf)
        previous = walk
    while bits:
        right = nodes.pop()
        nodes[-1] = _join(bits.pop(), nodes[-1], right)
    return nodes[0] if nodes else None


class _Merge:
    """One batch of writes on its way down a tree: sorted, so that a branch takes a range of it."""

    __slots__ = ("added", "keys", "leaves", "walks")

    def __init__(self, writes: Mapping[bytes, bytes | None]) -> None:
        self.keys = sorted(writes)
        self.walks = [int.from_bytes(key, "big") for key in self.keys]
        # None where the write deletes.
        self.leaves = [
            None if (value := writes[key]) is None else encode_leaf(key, value) for key in self.keys
        ]
        self.added = 0

    def into(self, node: _Node | None, first: int, end: int) -> _Node | None:
        """`node` after the writes `first` to `end`, which all belong where it stands."""
        if first == end:
            return node
        if node is None:
            return self._fresh(first, end)
        if not isinstance(node, tuple):
            return self._into_leaf(node, first, end)
        if end - first == 1 and (leaf := self.leaves[first]) is not None:
            return self._set_one(node, self.walks[first], leaf)
        bit, left, right, _, some_leaf = node
        below = int.from_bytes(leaf_key(some_leaf), "big")
        low, high = self.walks[first], self.walks[end - 1]
        # The batch is sorted, so its outermost keys part from the subtree's prefix first.
        apart = KEY_BITS - ((low ^ below) | (high ^ below)).bit_length()
        if apart >= bit:
            middle = self._split(bit, first, end)
            return _rejoin(bit, self.into(left, first, middle), self.into(right, middle, end), node)
        middle = self._split(apart, first, end)
        if below >> (_TOP - apart) & 1:
            return _rejoin(apart, self._fresh(first, middle), self.into(node, middle, end))
        return _rejoin(apart, self.into(node, first, middle), self._fresh(middle, end))

    def _set_one(self, top: _Node, walk: int, leaf: bytes) -> _Node:
        """`into` for one pair, without recursion: nearly all of a batch's work ends up here."""
        node = top
        above: list[_Inner] = []
        while isinstance(node, tuple):
            above.append(node)
            node = node[2] if walk >> (_TOP - node[0]) & 1 else node[1]
        if node == leaf:
            return top
        apart = KEY_BITS - (walk ^ int.from_bytes(leaf_key(node), "big")).bit_length()
        if apart == KEY_BITS:
            node, digest = leaf, leaf_hash(leaf)
        else:
            self.added += 1
            while above and above[-1][0] > apart:
                node = above.pop()
            node = (
                _join(apart, node, leaf) if walk >> (_TOP - apart) & 1 else _join(apart, leaf, node)
            )
            digest = node[3]
        while above:
            bit, left, right, _, some_leaf = above.pop()
            if walk >> (_TOP - bit) & 1:
                right = node
                digest = inner_hash(bit, _hash(left), digest)
            else:
                left = node
                digest = inner_hash(bit, digest, _hash(right))
            node = bit, left, right, digest, some_leaf
        return node

    def _split(self, bit: int, first: int, end: int) -> int:
        """Where the writes with a 1 in `bit` begin; all agree in the bits before it."""
        shift = _TOP - bit
        return bisect_left(self.walks, (self.walks[first] >> shift | 1) << shift, first, end)

    def _fresh(self, first: int, end: int) -> _Node | None:
        leaves = [leaf for leaf in self.leaves[first:end] if leaf is not None]
        self.added += len(leaves)
        return _build(leaves)

    def _into_leaf(self, old: bytes, first: int, end: int) -> _Node | None:
        key = leaf_key(old)
        at = bisect_left(self.keys, key, first, end)
        leaves = [leaf for leaf in self.leaves[first:end] if leaf is not None]
        if at == end or self.keys[at] != key:
            leaves.append(old)
            leaves.sort()
        self.added += len(leaves) - 1
        return old if leaves == [old] else _build(leaves)


def _rejoin(
    bit: int, left: _Node | None, right: _Node | None, before: _Inner | None = None
) -> _Node | None:
    """Join what is left of two sides; the node from `before` is kept where nothing changed."""
    if left is None:
        return right
    if right is None:
        return left
    if before is not None and left is before[1] and right is before[2]:
        return before
    return _join(bit, left, right)
