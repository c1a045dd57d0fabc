# SPDX-License-Identifier: Apache-2.0
"""The leaves of a lot in pieces: the same as in one, and nothing else is taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.identity.leaf import MAX_LEAF_BYTES, DeviceLeaf
from fieldpost.identity.leaves import decode_leaves, most_leaves_bytes
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner

LEAVES = st.lists(st.binary(max_size=MAX_LEAF_BYTES), min_size=1, max_size=30)


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_the_longest_leaf_is_as_long_as_is_said() -> None:
    key = DeterministicSigner(Algorithm.ESP256, "device").public_key
    assert len(DeviceLeaf("S" * 64, key, bytes(16)).encode()) == MAX_LEAF_BYTES


@given(LEAVES, st.integers(1, 5_000))
def test_what_was_encoded_comes_back_in_pieces_of_any_size(leaves: list[bytes], size: int) -> None:
    data = cbor.encode(leaves)
    assert len(data) <= most_leaves_bytes(len(leaves))
    assert list(decode_leaves(pieces(data, size), count=len(leaves))) == leaves


@given(st.binary(max_size=60) | LEAVES.map(cbor.encode), st.integers(1, 99), st.integers(1, 40))
def test_it_takes_what_the_whole_codec_takes(data: bytes, size: int, count: int) -> None:
    try:
        found = cbor.decode_byte_strings(data, most=count)
        expected = found if len(found) == count else None
    except Malformed:
        expected = None
    try:
        streamed = tuple(decode_leaves(pieces(data, size), count=count))
    except Malformed:
        streamed = None
    assert streamed == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x83\x41\x00\x41\x01",
        b"\x82\x41\x00\x41\x01",
        b"\x83\x41\x00\x41\x01\x41\x02\x00",
        b"\x83\x41\x00\x41\x01\x61a",
        b"\x83\x41\x00\x41\x01\x58\x01a",
        b"\x83\x41\x00\x41\x01\x59\x01\x00",
        b"\x83\x41\x00\x41\x01\x58\xa0" + bytes(160),
        b"\x9f\x41\x00\x41\x01\x41\x02\xff",
    ],
)
def test_everything_else_is_refused(data: bytes) -> None:
    for size in (1, 1_000):
        with pytest.raises(Malformed):
            list(decode_leaves(pieces(data, size), count=3))
