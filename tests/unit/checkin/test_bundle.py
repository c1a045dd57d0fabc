# SPDX-License-Identifier: Apache-2.0
"""The bundle: its form, and every form that is not one."""

from dataclasses import replace

import pytest

from fieldpost import cbor
from fieldpost.checkin.bundle import Bundle, decode_bundle, encode_bundle
from fieldpost.errors import Malformed
from fieldpost.testing.bundles import PaperBoard

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
