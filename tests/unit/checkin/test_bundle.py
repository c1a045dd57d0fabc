# SPDX-License-Identifier: Apache-2.0
"""The bundle: its form, and every form that is not one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.checkin.bundle import Bundle, decode_bundle, encode_bundle
from fieldpost.errors import Malformed
from fieldpost.testing.bundles import PaperBoard
from fieldpost.tlog.cosignature import MAX_TIMESTAMP, Cosignature
from tests.property.strategies_damage import damaged, damaged_bytes

BOARD = PaperBoard(operators=2)
DATA = BOARD.bundle()


def members() -> list[cbor.Value]:
    value = cbor.decode(DATA)
    assert isinstance(value, tuple)
    return list(value)


def test_a_bundle_has_six_members_in_the_order_of_the_spec() -> None:
    version, value, path, leaf, edge, cosignatures = members()
    assert version == 1
    assert value == BOARD.head.encode()
    assert isinstance(path, bytes)
    assert leaf == BOARD.state_leaf
    assert edge == BOARD.edge
    assert cosignatures == tuple((c.key_id, c.timestamp, c.signature) for c in BOARD.cosignatures())


def test_decoding_and_encoding_give_the_same_bytes() -> None:
    assert encode_bundle(decode_bundle(DATA, most_bytes=5_120)) == DATA


def test_a_bundle_over_the_limit_is_refused_before_it_is_parsed() -> None:
    decode_bundle(DATA, most_bytes=len(DATA))
    with pytest.raises(Malformed, match="at most"):
        decode_bundle(DATA, most_bytes=len(DATA) - 1)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, 2),
        (0, True),
        (1, "text"),
        (2, None),
        (3, None),
        (4, None),
        (4, (b"\0" * 31,)),
        (4, (1,)),
        (4, (b"\0" * 32,) * 63),
        (5, None),
        (5, (b"",)),
        (5, ((b"1234", True, bytes(64)),)),
        (5, ((b"1234", -1, bytes(64)),)),
        (5, ((b"123", 1, bytes(64)),)),
        (5, ((b"1234", 1, bytes(63)),)),
        (5, ((b"1234", 1, bytes(64)),) * 17),
    ],
)
def test_members_of_another_form_are_malformed(at: int, value: cbor.Value) -> None:
    changed = members()
    changed[at] = value
    with pytest.raises(Malformed):
        decode_bundle(cbor.encode(changed), most_bytes=65_535)


def test_members_more_or_fewer_are_malformed() -> None:
    for value in (members()[:-1], [*members(), 0], {1: 1}, "a page of a captive portal"):
        with pytest.raises(Malformed):
            decode_bundle(cbor.encode(value), most_bytes=5_120)


def test_forty_edge_hashes_and_sixteen_cosignatures_are_taken() -> None:
    one = decode_bundle(DATA, most_bytes=5_120)
    many = replace(one, edge=(bytes(32),) * 40, cosignatures=one.cosignatures[:1] * 16)
    assert decode_bundle(encode_bundle(many), most_bytes=5_120) == many


def test_a_bundle_beyond_the_limits_cannot_be_made() -> None:
    with pytest.raises(Malformed):
        Bundle(value=None, path=b"", state_leaf=b"", edge=(bytes(32),) * 63, cosignatures=())


def read_by_the_codec(data: bytes) -> Bundle | None:
    """What the form says, read the long way: everything decoded, then taken apart."""
    try:
        match cbor.decode(data):
            case (
                version,
                None | bytes() as value,
                bytes(path),
                bytes(leaf),
                tuple(edge),
                tuple(c),
            ):
                cosignatures = []
                for one in c:
                    key_id, timestamp, signature = one if isinstance(one, tuple) else ()
                    assert isinstance(key_id, bytes)
                    assert type(timestamp) is int
                    assert isinstance(signature, bytes)
                    cosignatures.append(Cosignature(key_id, timestamp, signature))
                assert type(version) is int
                assert version == 1
                assert all(isinstance(item, bytes) for item in edge)
                return Bundle(
                    value=value,
                    path=path,
                    state_leaf=leaf,
                    edge=tuple(item for item in edge if isinstance(item, bytes)),
                    cosignatures=tuple(cosignatures),
                )
            case _:
                return None
    except (Malformed, ValueError, AssertionError):
        return None


def read(data: bytes) -> Bundle | None:
    try:
        return decode_bundle(data, most_bytes=65_535)
    except Malformed:
        return None


BUNDLES = st.builds(
    Bundle,
    value=st.none() | st.binary(max_size=300),
    path=st.binary(max_size=700),
    state_leaf=st.binary(max_size=120),
    edge=st.lists(st.binary(min_size=32, max_size=32), max_size=62).map(tuple),
    cosignatures=st.lists(
        st.builds(
            Cosignature,
            st.binary(min_size=4, max_size=4),
            st.sampled_from([0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, MAX_TIMESTAMP])
            | st.integers(0, MAX_TIMESTAMP),
            st.sampled_from([64, 2420]).map(bytes),
        ),
        max_size=16,
    ).map(tuple),
)


@given(BUNDLES)
def test_every_bundle_is_read_as_it_was_written(bundle: Bundle) -> None:
    data = encode_bundle(bundle)
    assert read(data) == bundle == read_by_the_codec(data)


@given(BUNDLES, st.data())
def test_what_is_taken_is_what_the_strict_codec_takes(bundle: Bundle, data: st.DataObject) -> None:
    """One form, read as it stands: no spelling of it is taken that another reader refuses."""
    encoded = encode_bundle(bundle)
    otherwise = cbor.encode(data.draw(damaged(cbor.decode(encoded))))
    for mutated in (data.draw(damaged_bytes(encoded)), otherwise):
        assert read(mutated) == read_by_the_codec(mutated)


@pytest.mark.parametrize(
    ("shortest", "longer"),
    [
        ("1a00010000", "1b0000000000010000"),
        ("19ffff", "1a0000ffff"),
        ("18ff", "1900ff"),
        ("1818", "190018"),
        ("17", "1817"),
    ],
)
def test_a_time_is_written_in_one_way(shortest: str, longer: str) -> None:
    timestamp = cbor.decode(bytes.fromhex(shortest))
    assert isinstance(timestamp, int)
    one = Cosignature(b"1234", timestamp, bytes(64))
    bundle = Bundle(value=None, path=b"", state_leaf=b"", edge=(), cosignatures=(one,))
    data = encode_bundle(bundle)
    assert read(data) == bundle
    assert read(data.replace(bytes.fromhex(shortest), bytes.fromhex(longer))) is None
