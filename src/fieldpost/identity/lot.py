# SPDX-License-Identifier: Apache-2.0
"""Lots: a closed set of devices under one root that the board holds (docs/spec/identity.md).

The tree is RFC 6962's over the encoded leaves, in the order of their index. The board knows root
and count, about 300 bytes for up to 2^20 devices; leaves stay with the maker, and a device shows
its own leaf with index and path, at most 20 hashes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fieldpost.errors import Malformed
from fieldpost.identity.leaf import DeviceLeaf, decode_leaf
from fieldpost.records.limits import MAX_LOT_DEVICES
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.proof import prove_inclusion, verify_inclusion
from fieldpost.tlog.tree import MemoryTree


@dataclass(frozen=True, slots=True)
class LotTree:
    """The tree over a lot's leaves, in memory: about 170 bytes a device, the leaves not counted."""

    root: bytes
    _tree: MemoryTree

    @classmethod
    def build(cls, leaves: Iterable[bytes]) -> "LotTree":
        """The tree over encoded leaves. Raises Malformed unless there are 1…2^20 of them."""
        tree = MemoryTree(map(leaf_hash, leaves))
        if not 1 <= tree.size <= MAX_LOT_DEVICES:
            raise Malformed(f"a lot has 1…{MAX_LOT_DEVICES} devices, not {tree.size}")
        return cls(tree.root(), tree)

    @property
    def count(self) -> int:
        """How many devices there are."""
        return self._tree.size

    def path(self, index: int) -> tuple[bytes, ...]:
        """The inclusion path of one device, leaf to root. Raises Malformed outside the lot."""
        return prove_inclusion(self._tree, index=index, size=self.count)


def verify_membership(
    *, leaf: bytes, index: int, count: int, root: bytes, path: Sequence[bytes]
) -> DeviceLeaf:
    """The device that stands at `index` of the lot (count, root); both must come from the board.

    Raises Malformed for a leaf or path of the wrong shape, Untrusted("bad-proof") for a leaf that
    is not there. The class in the leaf is the caller's to compare with the lot's.
    """
    if not 1 <= count <= MAX_LOT_DEVICES:
        raise Malformed(f"a lot has 1…{MAX_LOT_DEVICES} devices, not {count}")
    verify_inclusion(leaf_hash=leaf_hash(leaf), index=index, size=count, root=root, path=path)
    return decode_leaf(leaf)
