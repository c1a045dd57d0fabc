# SPDX-License-Identifier: Apache-2.0
"""The bytes of a proof, case by case, and the ones that a device must refuse."""

from hashlib import sha256

import pytest

from fieldpost.errors import Malformed, Untrusted
from fieldpost.statemap import StateMap, root_from_proof, verify_proof
from fieldpost.statemap.hashing import (
    EMPTY_ROOT,
    INNER_PREFIX,
    encode_leaf,
    encode_uvarint,
    leaf_hash,
)

A, B, C = bytes(32), b"\x80" + bytes(31), b"\x80" + bytes(30) + b"\x01"
ABSENT = b"\xc0" + bytes(31)
MAP = StateMap.build([(A, b"a"), (B, b"b"), (C, b"c")])
LEAVES = {
    A: leaf_hash(encode_leaf(A, b"a")),
    B: leaf_hash(encode_leaf(B, b"b")),
    C: leaf_hash(encode_leaf(C, b"c")),
}
# A | B C: parted at bit 0, then at bit 255, which takes two bytes.
BIT_255 = b"\xff\x01"


def test_the_layout_of_an_inclusion_proof() -> None:
    value, path = MAP.prove(B)
    assert value == b"b"
    assert path == BIT_255 + LEAVES[C] + b"\x00" + LEAVES[A]


def test_the_layout_of_an_absence_proof() -> None:
    """The walk for the absent key ends at another leaf, which is shown whole."""
    value, path = MAP.prove(ABSENT)
    assert value is None
    assert path == b"\x20" + B + b"\x01b" + BIT_255 + LEAVES[C] + b"\x00" + LEAVES[A]


def test_in_the_empty_map_every_key_is_absent_without_a_path() -> None:
    assert StateMap.empty().prove(A) == (None, b"")
    verify_proof(root=EMPTY_ROOT, key=A, value=None, path=b"")
    assert sha256(b"").digest() == EMPTY_ROOT


def test_the_empty_path_of_a_single_key_is_not_an_absence_in_its_map() -> None:
    single = StateMap.build([(A, b"a")])
    assert single.prove(A) == (b"a", b"")
    with pytest.raises(Untrusted):
        verify_proof(root=single.root, key=A, value=None, path=b"")


def test_an_empty_value_is_not_absence() -> None:
    single = StateMap.build([(A, b"")])
    verify_proof(root=single.root, key=A, value=b"", path=b"")
    with pytest.raises(Untrusted):
        verify_proof(root=single.root, key=A, value=None, path=b"")


def malformed_paths() -> dict[str, tuple[bytes | None, bytes]]:
    sibling = bytes(32)
    other = b"\x20" + B + b"\x01b"
    return {
        "a bit repeated": (b"a", b"\x05" + sibling + b"\x05" + sibling),
        "bits that rise": (b"a", b"\x05" + sibling + b"\x06" + sibling),
        "bit 256": (b"a", encode_uvarint(256) + sibling),
        "a bit in too many bytes": (b"a", b"\x85\x00" + sibling),
        "a bit without end": (b"a", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + sibling),
        "a sibling cut off": (b"a", b"\x05" + sibling[:-1]),
        "a lone bit": (b"a", b"\x05"),
        "half a bit": (b"a", b"\x85"),
        "one byte too many": (b"a", b"\x05" + sibling + b"\x04"),
        "absence by the key itself": (None, b"\x20" + A + b"\x01a"),
        "another key of 31 bytes": (None, b"\x1f" + B[:31] + b"\x01b"),
        "another key of 33 bytes": (None, b"\x21" + B + b"\x00" + b"\x01b"),
        "another leaf without value": (None, b"\x20" + B),
        "another value cut off": (None, b"\x20" + B + b"\x02b"),
        "another value of forged length": (None, b"\x20" + B + b"\xff\xff\x7fb"),
        "a length in too many bytes": (None, b"\xa0\x00" + B + b"\x01b"),
        "another leaf on the other side": (None, other + b"\x00" + sibling),
    }


@pytest.mark.parametrize("case", malformed_paths())
def test_a_malformed_path_is_no_proof(case: str) -> None:
    value, path = malformed_paths()[case]
    with pytest.raises(Malformed):
        root_from_proof(A, value, path)
    with pytest.raises(Untrusted, match="bad-proof"):
        verify_proof(root=MAP.root, key=A, value=value, path=path)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_malformed(length: int) -> None:
    with pytest.raises(Malformed):
        root_from_proof(bytes(length), b"a", b"")


def test_the_deepest_path_has_256_levels_and_is_accepted() -> None:
    """All that the format can say: no verifier of ours stops short of it."""
    node, path = leaf_hash(encode_leaf(A, b"a")), b""
    for bit in reversed(range(256)):
        path += encode_uvarint(bit) + LEAVES[B]
        node = sha256(INNER_PREFIX[bit] + node + LEAVES[B]).digest()
    assert len(path) == 128 * 33 + 128 * 34
    assert root_from_proof(A, b"a", path) == node


def test_a_leaf_on_the_wrong_side_proves_nothing() -> None:
    """The walk for a key is fixed by the root, so even a crooked tree has one value for it."""
    crooked = sha256(INNER_PREFIX[0] + LEAVES[B] + LEAVES[A]).digest()
    for key, sibling in ((A, LEAVES[B]), (B, LEAVES[A])):
        value = MAP.value(key)
        assert value is not None
        shown = root_from_proof(key, value, b"\x00" + sibling)
        assert shown != crooked


def test_absence_by_a_leaf_that_the_walk_never_meets_is_refused() -> None:
    """B is not A's neighbour: its own true path must not show that A is absent."""
    path_of_b = b"\x20" + B + b"\x01b" + MAP.prove(B)[1]
    with pytest.raises(Malformed, match="not where the key would be"):
        root_from_proof(A, None, path_of_b)


def test_a_proof_leads_to_one_root_only() -> None:
    value, path = MAP.prove(B)
    with pytest.raises(Untrusted, match="another state root"):
        verify_proof(root=EMPTY_ROOT, key=B, value=value, path=path)
