# SPDX-License-Identifier: Apache-2.0
"""Laws of the state map, against a reference that is too simple to be wrong."""

from collections.abc import Mapping
from hashlib import sha256

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fieldpost.errors import Malformed, Untrusted
from fieldpost.statemap import StateMap, root_from_proof, verify_proof

pytestmark = pytest.mark.usefixtures("each_map_writer")

Pairs = dict[bytes, bytes]
Writes = dict[bytes, bytes | None]


def uvarint(number: int) -> bytes:
    return (
        bytes((number,)) if number < 128 else bytes((number % 128 + 128,)) + uvarint(number // 128)
    )


def bit_of(key: bytes, position: int) -> str:
    return format(int.from_bytes(key, "big"), "0256b")[position]


def reference_root(pairs: Mapping[bytes, bytes]) -> bytes:
    """The root by definition: part the keys at the first bit in which they are not all equal."""
    if not pairs:
        return sha256(b"").digest()
    if len(pairs) == 1:
        [(key, value)] = pairs.items()
        parts = (b"\0", uvarint(len(key)), key, uvarint(len(value)), value)
        return sha256(b"".join(parts)).digest()
    bit = next(at for at in range(256) if len({bit_of(key, at) for key in pairs}) == 2)
    left, right = (
        reference_root({key: value for key, value in pairs.items() if bit_of(key, bit) == side})
        for side in "01"
    )
    return sha256(b"\x01" + uvarint(bit) + left + right).digest()


def spread(seed: int) -> bytes:
    """Keys that share prefixes of many lengths, ends and middles of bytes included."""
    key = bytearray(32)
    for position in (0, 1, 7, 8, 9, 127, 128, 129, 200, 255):
        if seed & 1:
            key[position // 8] |= 0x80 >> position % 8
        seed >>= 1
    return bytes(key)


keys = st.integers(0, 2**10 - 1).map(spread) | st.binary(min_size=32, max_size=32)
values = st.binary(max_size=40) | st.sampled_from([bytes(127), bytes(128), bytes(300)])
pairs_of_map = st.dictionaries(keys, values, max_size=24)
writes_of_batch = st.dictionaries(keys, st.none() | values, max_size=16)


def after(pairs: Pairs, writes: Writes) -> Pairs:
    result = dict(pairs)
    for key, value in writes.items():
        result.pop(key, None)
        if value is not None:
            result[key] = value
    return result


@given(pairs_of_map)
def test_build_has_the_root_of_the_definition(pairs: Pairs) -> None:
    built = StateMap.build(pairs.items())
    assert built.root == reference_root(pairs)
    assert len(built) == len(pairs)


@given(pairs_of_map.flatmap(lambda pairs: st.permutations(sorted(pairs.items()))))
def test_the_order_of_insertion_never_shows(order: list[tuple[bytes, bytes]]) -> None:
    one_by_one = StateMap.empty()
    for key, value in order:
        one_by_one = one_by_one.update({key: value})
    assert one_by_one.root == StateMap.build(order).root == reference_root(dict(order))
    assert len(one_by_one) == len(order)


@given(pairs_of_map, writes_of_batch, st.data())
def test_an_update_is_a_build_of_the_result(
    pairs: Pairs, writes: Writes, data: st.DataObject
) -> None:
    """Overwritten, deleted and repeated keys are drawn on purpose: chance seldom finds them."""
    for key in data.draw(
        st.lists(st.sampled_from(sorted(pairs)), max_size=6) if pairs else st.just([])
    ):
        writes[key] = data.draw(st.none() | values | st.just(pairs[key]))
    updated = StateMap.build(pairs.items()).update(writes)
    expected = after(pairs, writes)
    assert updated.root == reference_root(expected)
    assert len(updated) == len(expected)
    for key in {*pairs, *writes}:
        assert updated.value(key) == expected.get(key)


@given(pairs_of_map, st.lists(writes_of_batch, min_size=1, max_size=4))
def test_older_versions_stay_usable(pairs: Pairs, batches: list[Writes]) -> None:
    versions = [(dict(pairs), StateMap.build(pairs.items()))]
    for writes in batches:
        content, version = versions[-1]
        versions.append((after(content, writes), version.update(writes)))
    for content, version in versions:
        assert version.root == reference_root(content)
        for key, expected in content.items():
            value, path = version.prove(key)
            assert value == expected
            verify_proof(root=version.root, key=key, value=value, path=path)


@given(pairs_of_map, st.lists(keys, max_size=8))
def test_every_key_proves_its_value_and_every_other_key_its_absence(
    pairs: Pairs, others: list[bytes]
) -> None:
    built = StateMap.build(pairs.items())
    for key in {*pairs, *others}:
        value, path = built.prove(key)
        assert value == pairs.get(key)
        assert root_from_proof(key, value, path) == built.root
        verify_proof(root=built.root, key=key, value=value, path=path)


@given(pairs_of_map, keys, values, st.data())
def test_no_proof_shows_what_is_not_so(
    pairs: Pairs, key: bytes, value: bytes, data: st.DataObject
) -> None:
    """Claims are made with the honest paths of any key: only true ones are believed."""
    assume(pairs)
    built = StateMap.build(pairs.items())
    path = built.prove(data.draw(st.sampled_from(sorted({*pairs, key}))))[1]
    for claim in (None, value, pairs.get(key, b"")):
        if claim == pairs.get(key):
            continue
        with pytest.raises(Untrusted, match="bad-proof"):
            verify_proof(root=built.root, key=key, value=claim, path=path)


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 0x80 >> bit % 8
    return bytes(changed)


@given(pairs_of_map, keys, st.data())
def test_any_one_bit_changed_is_refused(pairs: Pairs, other: bytes, data: st.DataObject) -> None:
    """A proof of absence may hold for a second key too: only if that one is truly absent."""
    assume(pairs)
    built = StateMap.build(pairs.items())
    key = data.draw(st.sampled_from(sorted({*pairs, other})))
    value, path = built.prove(key)
    fields = {"root": built.root, "key": key, "path": path}
    if value is not None:
        fields["value"] = value
    name = data.draw(st.sampled_from(sorted(field for field in fields if fields[field])))
    bit = data.draw(st.integers(0, 8 * len(fields[name]) - 1))
    fields[name] = flip(fields[name], bit)
    if name == "key" and value is None and fields["key"] not in pairs:
        return
    with pytest.raises(Untrusted, match="bad-proof"):
        verify_proof(
            root=fields["root"], key=fields["key"], value=fields.get("value"), path=fields["path"]
        )


@given(st.binary(min_size=32, max_size=32), st.none() | values, st.binary(max_size=200))
def test_any_bytes_are_a_path_or_malformed(key: bytes, value: bytes | None, path: bytes) -> None:
    try:
        root = root_from_proof(key, value, path)
    except Malformed:
        return
    assert len(root) == 32


@given(pairs_of_map)
def test_writing_what_is_there_already_shares_the_whole_tree(pairs: Pairs) -> None:
    built = StateMap.build(pairs.items())
    absent: Writes = {b"\xaa" * 32: None} if b"\xaa" * 32 not in pairs else {}
    again = built.update({**pairs, **absent})
    assert again._node is built._node
