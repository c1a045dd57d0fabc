# SPDX-License-Identifier: Apache-2.0
"""The state map itself: an immutable Merkle Patricia tree with structure shared between versions.

`update` returns a new map and leaves the old one whole, so a node can serve proofs against the
last published root while it works on the next; memory of an old version goes when its last
reference goes. The order of updates never shows: one set of pairs has one root.

Nodes are what Python keeps cheapest. A leaf is the bytes that are hashed for it; its hash is made
when asked for. An inner node is a tuple of bit, left, right and hash.
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
    inner_hash,
    leaf_hash,
    leaf_key,
    leaf_value,
)

_Inner = tuple[int, "_Node", "_Node", bytes]
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
            bit, left, right, _ = node
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
    return bit, left, right, inner_hash(bit, _hash(left), _hash(right))


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
        end, is_new = _open(opened, node, walk, leaf)
        added += is_new
        node = _close(opened, parting, walk, end)
        if opened and opened[-1][0] == parting:
            _, left, right, _ = opened[-1]
            if node is not left:
                opened[-1] = parting, node, right, b""
            node = right
        elif following:
            # No node parted these two writes so far.
            opened.append((parting, node, following, b""))
            node = following
            added += 1
    return node, added


def _open(opened: list[_Inner], node: _Node, walk: int, leaf: bytes) -> tuple[bytes, bool]:
    """Go down from `node` to the place of `leaf`, and leave the nodes above it in `opened`.

    The leaf, or the equal one that stood there; and whether its key is new. Then a node without a
    hash was opened for it.
    """
    first = len(opened)
    while isinstance(node, tuple):
        opened.append(node)
        node = node[2] if walk >> (_TOP - node[0]) & 1 else node[1]
    apart = KEY_BITS - (walk ^ int.from_bytes(leaf_key(node), "big")).bit_length()
    if apart == KEY_BITS:
        return (node if node == leaf else leaf), False
    beside: _Node = node
    while len(opened) > first and opened[-1][0] > apart:
        beside = opened.pop()
    opened.append(
        (apart, beside, leaf, b"") if walk >> (_TOP - apart) & 1 else (apart, leaf, beside, b"")
    )
    return leaf, True


def _close(opened: list[_Inner], parting: int, walk: int, end: bytes) -> _Node:
    """Take the nodes below bit `parting` out of `opened`, and make them anew over the leaf `end`.

    One of which nothing changed is kept as it was.
    """
    node: _Node = end
    digest = sha256(end).digest()
    while opened and opened[-1][0] > parting:
        above = opened.pop()
        bit, left, right, known = above
        # Hashed here and not in calls: nearly all time of a batch is spent in these lines.
        if walk >> (_TOP - bit) & 1:
            if node is right and known:
                node, digest = above, known
                continue
            right = node
            beside = left[3] if isinstance(left, tuple) else sha256(left).digest()
            digest = sha256(INNER_PREFIX[bit] + beside + digest).digest()
        else:
            if node is left and known:
                node, digest = above, known
                continue
            left = node
            beside = right[3] if isinstance(right, tuple) else sha256(right).digest()
            digest = sha256(INNER_PREFIX[bit] + digest + beside).digest()
        node = bit, left, right, digest
    return node


def _without(top: _Node | None, key: bytes) -> _Node | None:
    """The tree without `key`; the same one where it is not there."""
    walk = int.from_bytes(key, "big")
    node = top
    above: list[_Inner] = []
    while isinstance(node, tuple):
        above.append(node)
        node = node[2] if walk >> (_TOP - node[0]) & 1 else node[1]
    if node is None or leaf_key(node) != key:
        return top
    node = None
    while above:
        bit, left, right, _ = above.pop()
        is_right = walk >> (_TOP - bit) & 1
        if node is None:
            node = left if is_right else right
        else:
            node = _join(bit, left, node) if is_right else _join(bit, node, right)
    return node
