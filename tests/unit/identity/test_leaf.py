# SPDX-License-Identifier: Apache-2.0
"""Device leaves and the names of a device."""

from collections.abc import Callable

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.identity.leaf import (
    DeviceLeaf,
    decode_leaf,
    device_id,
    format_device_id,
    salted_serial,
    scan_key,
    scan_leaf,
    ueid,
)
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner

KEY = DeterministicSigner(Algorithm.ESP256, "device").public_key
PQ = DeterministicSigner(Algorithm.ML_DSA_44, "device").public_key
CLASS = b"c" * 16


@pytest.mark.parametrize("algorithm", [Algorithm.ESP256, Algorithm.ED25519])
@pytest.mark.parametrize("serial", ["A-0001", "x" * 64, salted_serial("A-0001", b"s" * 16)])
def test_a_leaf_comes_back_as_it_was(algorithm: Algorithm, serial: str | bytes) -> None:
    leaf = DeviceLeaf(serial, DeterministicSigner(algorithm, "device").public_key, CLASS)
    assert decode_leaf(leaf.encode()) == leaf


def test_the_shape_is_the_one_of_the_specification() -> None:
    assert cbor.decode(DeviceLeaf("A-1", KEY, CLASS).encode()) == ("A-1", KEY.cose_key(), CLASS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DeviceLeaf("", KEY, CLASS),
        lambda: DeviceLeaf("x" * 65, KEY, CLASS),
        lambda: DeviceLeaf("Gerät", KEY, CLASS),
        lambda: DeviceLeaf("a\nb", KEY, CLASS),
        lambda: DeviceLeaf(b"s" * 31, KEY, CLASS),
        lambda: DeviceLeaf("A-1", KEY, CLASS[1:]),
        lambda: DeviceLeaf("A-1", PQ, CLASS),
        lambda: decode_leaf(cbor.encode(["A-1", KEY.cose_key()])),
        lambda: decode_leaf(cbor.encode([1, KEY.cose_key(), CLASS])),
        lambda: decode_leaf(cbor.encode(["A-1", {1: 2}, CLASS])),
        lambda: decode_leaf(cbor.encode(["A-1", KEY.cose_key(), "c" * 16])),
        lambda: salted_serial("A-1", b"s" * 15),
        lambda: salted_serial("", b"s" * 16),
    ],
)
def test_nothing_outside_the_limits_is_a_leaf(make: Callable[[], object]) -> None:
    with pytest.raises(Malformed):
        make()


def test_a_device_is_named_by_its_key_alone() -> None:
    leaf = DeviceLeaf("A-1", KEY, CLASS)
    assert leaf.device == DeviceLeaf("A-2", KEY, b"d" * 16).device == device_id(KEY)
    assert ueid(leaf.device) == b"\x01" + KEY.thumbprint()


def test_people_see_26_letters_and_digits() -> None:
    """Base32 of 16 zero bytes, and of RFC 4648's "foobar" filled up to 16 bytes."""
    assert format_device_id(bytes(32)) == "a" * 26
    assert format_device_id(b"foobar" + bytes(26)) == "mzxw6ytboi" + "a" * 16


def test_a_salted_serial_hides_the_serial_and_depends_on_both() -> None:
    first = salted_serial("A-1", b"s" * 16)
    assert first == salted_serial("A-1", b"s" * 16)
    assert len({first, salted_serial("A-2", b"s" * 16), salted_serial("A-1", b"t" * 16)}) == 3


LEAVES = [
    DeviceLeaf(serial, DeterministicSigner(algorithm, "scan").public_key, bytes(range(16))).encode()
    for serial in ("S", "x" * 23, "x" * 24, "~" * 64, bytes(range(32)))
    for algorithm in (Algorithm.ED25519, Algorithm.ESP256)
]


def decoded(data: bytes) -> tuple[bytes, bytes] | None:
    try:
        leaf = decode_leaf(data)
    except Malformed:
        return None
    return leaf.device, leaf.class_id


def scanned(data: bytes) -> tuple[bytes, bytes] | None:
    """What both ways to scan find."""
    try:
        key, class_id = scan_key(data)
    except Malformed:
        key = None
    try:
        found = scan_leaf(data)
    except Malformed:
        assert key is None
        return None
    assert key is not None
    assert found == (key.thumbprint(), class_id)
    return found


@pytest.mark.parametrize("leaf", LEAVES)
def test_scanning_a_leaf_finds_what_decoding_finds(leaf: bytes) -> None:
    assert scanned(leaf) is not None
    assert scanned(leaf) == decoded(leaf)


@pytest.mark.parametrize("leaf", LEAVES)
def test_scanning_refuses_what_decoding_refuses(leaf: bytes) -> None:
    """Each byte with each bit turned, left out, doubled."""
    for at in range(len(leaf)):
        others = [leaf[at] ^ 1 << bit for bit in range(8)]
        changed = [leaf[:at] + bytes([other]) + leaf[at + 1 :] for other in others]
        changed += [leaf[:at] + leaf[at + 1 :], leaf[:at] + leaf[at : at + 1] + leaf[at:]]
        for data in changed:
            assert scanned(data) == decoded(data), data.hex()
