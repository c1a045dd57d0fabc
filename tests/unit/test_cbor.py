# SPDX-License-Identifier: Apache-2.0
"""The codec case by case: what is written, and why each other spelling is refused."""

import re
from collections import UserDict
from enum import IntEnum

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed

BY_VALUE: list[tuple[object, str]] = [
    (0, "00"),
    (23, "17"),
    (24, "1818"),
    (255, "18ff"),
    (256, "190100"),
    (65535, "19ffff"),
    (65536, "1a00010000"),
    (2**32 - 1, "1affffffff"),
    (2**32, "1b0000000100000000"),
    (2**63 - 1, "1b7fffffffffffffff"),
    (-1, "20"),
    (-24, "37"),
    (-25, "3818"),
    (-(2**63), "3b7fffffffffffffff"),
    (b"", "40"),
    ("", "60"),
    ("ü", "62c3bc"),
    (b"x" * 24, "5818" + "78" * 24),
    ((), "80"),
    ([1, [2]], "82018102"),
    ({}, "a0"),
    (False, "f4"),
    (True, "f5"),
    (None, "f6"),
    (cbor.Tag(18, (b"",)), "d28140"),
]


@pytest.mark.parametrize(("value", "encoding"), BY_VALUE, ids=[text[:20] for _, text in BY_VALUE])
def test_a_value_has_its_shortest_encoding(value: object, encoding: str) -> None:
    assert cbor.encode(value).hex() == encoding
    assert cbor.encode(cbor.decode(bytes.fromhex(encoding))).hex() == encoding


def test_map_keys_are_sorted_by_their_encoded_bytes() -> None:
    """RFC 8949 §4.2.1's own example, for the kinds of keys that the subset has.

    Not by length first (RFC 7049): -1 stands before "z" but after 100, however long.
    """
    keys: list[cbor.Key] = ["aa", -1, 10, "z", 100, b"\x00", 1000]
    encoded = cbor.encode(dict.fromkeys(keys, None))
    assert list(cbor.decode(encoded)) == [10, 100, 1000, -1, b"\x00", "z", "aa"]  # type: ignore[arg-type]


class Level(IntEnum):
    HIGH = 2


def test_python_kinds_of_one_value_have_one_encoding() -> None:
    assert cbor.encode(Level.HIGH) == cbor.encode(2)
    assert cbor.encode({Level.HIGH: Level.HIGH}) == cbor.encode({2: 2})
    assert cbor.encode(UserDict({1: 2})) == cbor.encode({1: 2})


def test_true_is_not_one() -> None:
    assert cbor.encode(True) != cbor.encode(1)
    assert cbor.decode(b"\xf5") is True
    assert type(cbor.decode(b"\x01")) is int


@pytest.mark.parametrize(
    "value",
    [
        *(1.0, float("nan"), 2**63, -(2**63) - 1, bytearray(b"x"), memoryview(b"x"), {1}, object()),
        *("\ud800", {True: 1}, {None: 1}, {(1,): 1}, {1.5: 1}, {b"k": [1.5]}),
        *(cbor.Tag(-1, 0), cbor.Tag(2**63, 0), cbor.Tag(2**64, 0)),
    ],
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", repr(value)),
)
def test_the_encoder_refuses_what_the_subset_has_not(value: object) -> None:
    with pytest.raises(ValueError, match=r"no place|outside|map key|surrogates"):
        cbor.encode(value)


REFUSED = {
    "nothing at all": ("", "cut off"),
    "an integer in 2 bytes that fits in 1": ("1817", "shortest"),
    "an integer in 3 bytes that fits in 2": ("1900ff", "shortest"),
    "an integer in 5 bytes that fits in 3": ("1a0000ffff", "shortest"),
    "an integer in 9 bytes that fits in 5": ("1b00000000ffffffff", "shortest"),
    "a length that is not shortest": ("580161", "shortest"),
    "a count that is not shortest": ("980100", "shortest"),
    "a tag number that is not shortest": ("d81200", "shortest"),
    "2^63": ("1b8000000000000000", "outside"),
    "-2^63 - 1": ("3b8000000000000000", "outside"),
    "a tag number of 2^63": ("db800000000000000000", "too large"),
    "a head cut off": ("19ff", "cut off"),
    "bytes cut off": ("4261", "cut off"),
    "an array cut off": ("8201", "cut off"),
    "a map cut off": ("a101", "cut off"),
    "a tag without value": ("d2", "cut off"),
    "a length beyond all memory": ("5b7fffffffffffffff", "cut off"),
    "a count beyond all memory": ("9b7fffffffffffffff", "cut off"),
    "a map count beyond all memory": ("bb7fffffffffffffff", "cut off"),
    "trailing bytes": ("0000", "1 bytes after"),
    "a reserved head": ("1c", "reserved"),
    "an indefinite array": ("9fff", "indefinite"),
    "a lone break": ("ff", "indefinite"),
    "a float": ("f93c00", "floats"),
    "undefined": ("f7", "floats"),
    "false in two bytes": ("f814", "floats"),
    "text that is no UTF-8": ("61ff", "UTF-8"),
    "text with an overlong character": ("62c080", "UTF-8"),
    "text with a surrogate": ("63eda080", "UTF-8"),
    "keys out of order": ("a202000100", "out of order"),
    "a key twice": ("a201000100", "repeated"),
    "keys sorted by length first": ("a3616100" + "187800" + "6262" + "6200", "out of order"),
    "true as a key beside 1": ("a20100f500", "map key"),
    "null as a key": ("a1f600", "map key"),
    "an array as a key": ("a18000", "map key"),
    "a tag as a key": ("a1d20000", "map key"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_decoder_refuses(case: str) -> None:
    encoding, reason = REFUSED[case]
    with pytest.raises(Malformed, match=reason):
        cbor.decode(bytes.fromhex(encoding))


@pytest.mark.parametrize("container", ["81", "a100", "d2"])
def test_nesting_ends_at_the_limit(container: str) -> None:
    deepest = bytes.fromhex(container * cbor.MAX_DEPTH + "00")
    assert cbor.encode(cbor.decode(deepest)) == deepest
    with pytest.raises(Malformed, match="deep"):
        cbor.decode(bytes.fromhex(container * (cbor.MAX_DEPTH + 1) + "00"))
    assert cbor.decode(bytes.fromhex("8100"), max_depth=1) == (0,)
    with pytest.raises(Malformed, match="deep"):
        cbor.decode(bytes.fromhex("8100"), max_depth=0)


def test_endless_nesting_costs_no_stack() -> None:
    with pytest.raises(Malformed, match="deep"):
        cbor.decode(b"\x81" * 1_000_000)


@pytest.mark.parametrize("length", [31, 32, 33])
def test_arrays_of_hashes_decode_whole_and_nowhere_cut(length: int) -> None:
    value = (bytes(length), b"\xff" * length, bytes(length))
    data = cbor.encode(value)
    assert cbor.decode(data) == value
    for end in range(len(data)):
        with pytest.raises(Malformed):
            cbor.decode(data[:end])
