# SPDX-License-Identifier: Apache-2.0
"""The state leaf is read as it stands: exactly what the strict codec takes, in its one form."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records.state_leaf import PREFIX, StateLeaf, decode_state_leaf
from tests.property.strategies_damage import damaged, damaged_bytes

NUMBERS = st.integers(0, cbor.MAX_INT) | st.sampled_from(
    [0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, cbor.MAX_INT]
)
HASHES = st.binary(min_size=32, max_size=32)


@st.composite
def leaves(draw: st.DrawFn) -> StateLeaf:
    covered = draw(NUMBERS)
    earlier = st.integers(0, covered - 1) if covered else st.none()
    return StateLeaf(
        covered_size=covered,
        map_root=draw(HASHES),
        key_count=draw(NUMBERS),
        previous_state_index=draw(st.none() | earlier),
        time=draw(NUMBERS),
        board_epoch=draw(NUMBERS),
        board_link=draw(HASHES),
    )


def is_leaf_to_the_codec(entry: bytes) -> bool:
    """What the form says, read the long way: everything decoded, then taken apart."""
    try:
        value: Any = cbor.decode(entry)
    except Malformed:
        return False
    if not isinstance(value, tuple) or len(value) != 9:
        return False
    prefix, version, covered, root, count, previous, time, epoch, link = value
    return bool(
        prefix == PREFIX
        and type(version) is int
        and version == 1
        and all(type(n) is int and n >= 0 for n in (covered, count, time, epoch))
        and (previous is None or (type(previous) is int and 0 <= previous < covered))
        and all(isinstance(item, bytes) and len(item) == 32 for item in (root, link))
    )


def read(entry: bytes) -> StateLeaf | None:
    try:
        return decode_state_leaf(entry)
    except Malformed:
        return None


@given(leaves())
def test_every_leaf_is_read_as_it_was_written(leaf: StateLeaf) -> None:
    assert decode_state_leaf(leaf.encode()) == leaf
    assert is_leaf_to_the_codec(leaf.encode())


@given(leaves(), st.data())
def test_what_is_taken_is_what_the_strict_codec_takes(leaf: StateLeaf, data: st.DataObject) -> None:
    encoded = leaf.encode()
    otherwise = cbor.encode(data.draw(damaged(cbor.decode(encoded))))
    for mutated in (data.draw(damaged_bytes(encoded)), otherwise):
        taken = read(mutated)
        assert (taken is not None) == is_leaf_to_the_codec(mutated)
        assert taken is None or taken.encode() == mutated
