# SPDX-License-Identifier: Apache-2.0
"""Lots: every device proves its place, and nobody else does."""

from collections.abc import Sequence

import pytest

from fieldpost.errors import Malformed
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.lot import LotTree, verify_membership
from fieldpost.keys import Algorithm
from fieldpost.records.limits import MAX_LOT_DEVICES
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.hashing import leaf_hash


def leaves_of(count: int) -> list[bytes]:
    return [
        DeviceLeaf(
            f"S-{i}", DeterministicSigner(Algorithm.ED25519, f"device/{i}").public_key, b"c" * 16
        ).encode()
        for i in range(count)
    ]


LEAVES = leaves_of(13)


@pytest.mark.parametrize("leaves", [LEAVES[:1], LEAVES[:2], LEAVES[:8], LEAVES])
def test_every_device_of_a_lot_proves_its_place(leaves: Sequence[bytes]) -> None:
    lot = LotTree.build(leaves)
    assert lot.count == len(leaves)
    for index, leaf in enumerate(leaves):
        device = verify_membership(
            leaf=leaf, index=index, count=lot.count, root=lot.root, path=lot.path(index)
        )
        assert device.serial == f"S-{index}"


def test_the_root_of_one_device_is_its_leaf_hash() -> None:
    assert LotTree.build(LEAVES[:1]).root == leaf_hash(LEAVES[0])


def test_a_lot_is_not_empty_and_has_an_end() -> None:
    with pytest.raises(Malformed, match="not 0"):
        LotTree.build([])
    with pytest.raises(Malformed, match="no leaf 13"):
        LotTree.build(LEAVES).path(13)
    for count in (0, MAX_LOT_DEVICES + 1):
        with pytest.raises(Malformed, match="a lot has"):
            verify_membership(leaf=LEAVES[0], index=0, count=count, root=b"r" * 32, path=())
