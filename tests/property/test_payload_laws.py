# SPDX-License-Identifier: Apache-2.0
"""Laws of the payloads that are no record of a device: one form each, and no other error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.errors import Malformed
from tests.property.payload_formats import PAYLOADS
from tests.property.strategies_damage import VALUES, damaged
from vectors.sections import payloads

EVERY = pytest.mark.parametrize("kind", sorted(PAYLOADS))


@EVERY
@given(data=st.data())
def test_a_damaged_payload_is_refused_or_written_the_same_way(
    kind: str, data: st.DataObject
) -> None:
    _, good = payloads.PAYLOADS[kind]
    value: object = cbor.decode(good)
    for _ in range(data.draw(st.integers(1, 2))):
        value = data.draw(damaged(value))
        value = cbor.decode(cbor.encode(value))
    bad = cbor.encode(value)
    try:
        read = PAYLOADS[kind](bad)
    except Malformed:
        return
    assert read.encode() == bad


@EVERY
@given(value=VALUES, noise=st.binary(max_size=60))
def test_any_bytes_are_a_payload_or_malformed(kind: str, value: object, noise: bytes) -> None:
    for item in (cbor.encode(value), noise):
        with pytest.raises(Malformed):
            PAYLOADS[kind](item)
