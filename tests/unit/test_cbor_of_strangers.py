# SPDX-License-Identifier: Apache-2.0
"""Large inputs of strangers: taken apart without building what nobody asked for."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.errors import Malformed

MANY = 1_000_000


def array_of(item: bytes, count: int) -> bytes:
    return b"\x9a" + count.to_bytes(4, "big") + item * count


@pytest.mark.parametrize("item", [b"\xa0", b"\x80", b"\x18\xff", b"\x40"])
def test_a_sequence_is_split_without_memory_for_what_is_in_it(item: bytes) -> None:
    """A body of 6.5 MB took 500 MB, and the node's only loop for seconds."""
    data = array_of(item, MANY)
    tracemalloc.start()
    try:
        with pytest.raises(Malformed, match="more than 1024 parts"):
            cbor.split_sequence(data, most=100)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 99), inner),
    max_leaves=12,
)


@given(st.lists(values, max_size=6))
def test_a_sequence_splits_where_its_items_end(items: list[object]) -> None:
    encoded = [cbor.encode(item) for item in items]
    assert cbor.split_sequence(b"".join(encoded), most=6) == encoded


@given(st.binary(max_size=60))
def test_what_splits_is_whole_and_what_decodes_splits(data: bytes) -> None:
    try:
        items = cbor.split_sequence(data, most=100)
    except Malformed:
        with pytest.raises(Malformed):
            cbor.decode(data)
    else:
        assert b"".join(items) == data


@pytest.mark.parametrize("data", ["8201", "42ff", "61", "9f", "ff", "1c", "a101", "c1"])
def test_a_sequence_that_is_cut_off_is_malformed(data: str) -> None:
    with pytest.raises(Malformed):
        cbor.split_sequence(bytes.fromhex(data), most=1)


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_byte_strings_are_read_as_decode_reads_them(items: list[bytes]) -> None:
    data = cbor.encode(items)
    assert cbor.decode_byte_strings(data, most=30) == cbor.decode(data) == tuple(items)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "40",
        "8101",
        "81a0",
        "8160",
        "9f40ff",
        "8140" + "00",
        "82" + "40",
        "980140",
        "815801ff",
        "9a" + "00100000" + "40" * 9,
    ],
)
def test_only_an_array_of_byte_strings_in_its_one_form_is_read(data: str) -> None:
    with pytest.raises(Malformed):
        cbor.decode_byte_strings(bytes.fromhex(data), most=8)
    assert cbor.decode_byte_strings(bytes.fromhex("814101"), most=8) == (b"\x01",)
