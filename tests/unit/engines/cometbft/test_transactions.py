# SPDX-License-Identifier: Apache-2.0
"""Posts in bundles: none lost, none split, none larger than a transaction may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.engines.cometbft.transactions import (
    BUNDLE_BYTES,
    MAX_POSTS,
    MAX_TX_BYTES,
    bundles,
    decode_bundle,
    encode_bundle,
)
from fieldpost.errors import Malformed
from fieldpost.records.limits import MAX_ENTRY_BYTES

SIZES = st.lists(st.integers(1, MAX_ENTRY_BYTES) | st.integers(1, 400), max_size=40)


@given(SIZES)
def test_bundles_hold_all_posts_in_order_and_each_is_a_transaction(sizes: list[int]) -> None:
    posts = [bytes([n % 256]) * size for n, size in enumerate(sizes)]
    cut = list(bundles(posts))
    assert [post for bundle in cut for post in bundle] == posts
    for bundle in cut:
        tx = encode_bundle(bundle)
        assert len(tx) <= BUNDLE_BYTES or (len(bundle) == 1 and len(tx) <= MAX_TX_BYTES)
        assert decode_bundle(tx) == tuple(bundle)


def test_bundles_are_as_few_as_sizes_allow() -> None:
    assert len(list(bundles([b"x"] * (3 * MAX_POSTS)))) == 3
    assert len(list(bundles([b"x" * 30_000] * 4))) == 2


@pytest.mark.parametrize(
    "tx",
    [
        b"",
        b"no cbor",
        cbor.encode([]),
        cbor.encode([b""]),
        cbor.encode(["text"]),
        cbor.encode(b"a post without an array"),
        cbor.encode([b"x"] * (MAX_POSTS + 1)),
        cbor.encode([b"x"]) + b"\0",
        cbor.encode([b"x" * MAX_TX_BYTES]),
    ],
)
def test_what_is_no_bundle_is_refused(tx: bytes) -> None:
    with pytest.raises(Malformed):
        decode_bundle(tx)
