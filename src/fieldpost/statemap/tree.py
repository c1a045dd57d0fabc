# SPDX-License-Identifier: Apache-2.0
"""The state map itself: an immutable Merkle Patricia tree with structure shared between versions.

`update` returns a new map and leaves the old one whole, so a node can serve proofs against the
last published root while it works on the next; memory of an old version goes when its last
reference goes. The order of updates never shows: one set of pairs has one root.
What nodes are, and how a batch is written into them, is in `writing`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from fieldpost.statemap import writing
from fieldpost.statemap.hashing import (
    BIT_PREFIX,
    EMPTY_ROOT,
    INNER_PREFIX,
    KEY_BYTES,
    encode_leaf,
    leaf_key,
    leaf_value,
)
from fieldpost.statemap.writing import SHIFT, Inner, Node, hash_of

_MASK: Final = tuple(0x80 >> bit for bit in range(8))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StateMap:
    """An immutable map from 32-byte keys to byte strings, with a root hash and proofs."""

    _node: Node | None
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
        return StateMap(*writing.set_all(None, leaves))

    @staticmethod
    def from_sorted(items: Iterable[tuple[bytes, bytes]]) -> "StateMap":
        """`build` of pairs that come sorted by key, without a second copy of them in memory.

        Raises ValueError for a key out of order, repeated, or not of 32 bytes.
        """

        def encoded() -> Iterator[bytes]:
            for key, value in items:
                if len(key) != KEY_BYTES:
                    _check_keys((key,))
                yield encode_leaf(key, value)

        return StateMap(*writing.set_all(None, list(encoded())))

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
        node, added = writing.set_all(self._node, leaves)
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
        return EMPTY_ROOT if self._node is None else hash_of(self._node)

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
            if walk >> SHIFT[bit] & 1:
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


def _join(bit: int, left: Node, right: Node) -> Inner:
    return bit, left, right, INNER_PREFIX[bit] + hash_of(left) + hash_of(right)


def _without(top: Node | None, key: bytes) -> Node | None:
    """The tree without `key`; the same one where it is not there."""
    walk = int.from_bytes(key, "big")
    node = top
    above: list[Inner] = []
    while isinstance(node, tuple):
        above.append(node)
        node = node[2] if walk >> SHIFT[node[0]] & 1 else node[1]
    if node is None or leaf_key(node) != key:
        return top
    node = None
    while above:
        bit, left, right, _ = above.pop()
        is_right = walk >> SHIFT[bit] & 1
        if node is None:
            node = left if is_right else right
        else:
            node = _join(bit, left, node) if is_right else _join(bit, node, right)
    return node
