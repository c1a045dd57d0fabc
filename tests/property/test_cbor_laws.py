# SPDX-License-Identifier: Apache-2.0
"""Laws of the codec: one encoding per value, one value per encoding, and no third outcome."""

from hypothesis import example, given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.errors import Malformed

integers = st.integers(cbor.MIN_INT, cbor.MAX_INT) | st.sampled_from(
    [at + step for at in (0, 24, 2**8, 2**16, 2**32) for step in (-1, 0, 1)]
    + [cbor.MIN_INT, cbor.MAX_INT]
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
strings = st.binary(max_size=30) | st.binary(min_size=255, max_size=257)
map_keys = integers | texts | st.binary(max_size=30)
values: st.SearchStrategy[cbor.Value] = st.recursive(
    integers | texts | strings | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=30).map(tuple)
        | st.dictionaries(map_keys, inner, max_size=8)
        | st.builds(cbor.Tag, st.integers(0, cbor.MAX_INT), inner)
    ),
    max_leaves=40,
)


def same(one: cbor.Value, other: cbor.Value) -> bool:
    """Equality that tells true from 1: Python's does not."""
    return type(one) is type(other) and repr(one) == repr(other)


def ordered(value: cbor.Value) -> cbor.Value:
    """The value with its maps in the order of their encoded keys, as the decoder gives them."""
    match value:
        case tuple():
            return tuple(ordered(item) for item in value)
        case dict():
            return {key: ordered(value[key]) for key in sorted(value, key=cbor.encode)}
        case cbor.Tag(number, inner):
            return cbor.Tag(number, ordered(inner))
        case _:
            return value


@given(values)
def test_every_value_comes_back(value: cbor.Value) -> None:
    assert same(cbor.decode(cbor.encode(value)), ordered(value))


@given(values.filter(lambda value: isinstance(value, dict)), st.data())
def test_the_order_in_which_a_map_was_filled_never_shows(
    value: dict[cbor.Key, cbor.Value], data: st.DataObject
) -> None:
    shuffled = dict(data.draw(st.permutations(list(value.items()))))
    assert cbor.encode(shuffled) == cbor.encode(value)


@given(values)
def test_a_list_is_written_as_its_tuple(value: cbor.Value) -> None:
    assert cbor.encode([value, [value]]) == cbor.encode((value, (value,)))


@given(st.binary(max_size=60))
@example(b"\xa2\x01\x00\xf5\x00")
@example(b"\xa2\x00\x00\x00\x00")
@example(b"\x18\x17")
@example(b"\x9f\xff")
@example(b"\x62\xc0\x80")
@example(b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff")
@example(b"\x81" * 60)
def test_any_bytes_are_malformed_or_the_only_encoding_of_their_value(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except Malformed:
        return
    assert cbor.encode(value) == data


@given(values, st.data())
def test_an_encoding_with_a_bit_changed_is_malformed_or_another_value(
    value: cbor.Value, data: st.DataObject
) -> None:
    """Near misses of real encodings reach deeper into the decoder than random bytes do."""
    encoded = bytearray(cbor.encode(value))
    bit = data.draw(st.integers(0, 8 * len(encoded) - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    try:
        changed = cbor.decode(bytes(encoded))
    except Malformed:
        return
    assert cbor.encode(changed) == bytes(encoded)
    assert not same(changed, ordered(value))


@given(values, st.binary(min_size=1, max_size=4))
def test_bytes_after_the_item_and_a_missing_end_are_malformed(
    value: cbor.Value, more: bytes
) -> None:
    encoded = cbor.encode(value)
    for wrong in (encoded + more, encoded[:-1]):
        try:
            cbor.decode(wrong)
        except Malformed:
            continue
        raise AssertionError(f"{wrong.hex()} was taken")
