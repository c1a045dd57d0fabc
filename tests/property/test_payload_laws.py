# SPDX-License-Identifier: Apache-2.0
"""Laws of the payloads that are no record of a device: one form each, and no other error.

The ledger takes what a decoder takes and encodes nothing again to compare, so no decoder may take
two payloads for one. `test_record_laws` holds those of the other kinds to the same.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.posts.kinds import DECODERS
from tests.property.payload_formats import PAYLOADS
from tests.property.record_formats import FORMATS
from tests.property.strategies_damage import VALUES, damaged, damaged_bytes

EVERY = pytest.mark.parametrize("kind", sorted(PAYLOADS))


def test_the_decoder_of_every_kind_is_held_to_one_form() -> None:
    held = {DECODERS[kind] for kind in PAYLOADS} | {form.decode for form in FORMATS}
    assert set(DECODERS.values()) <= held


@EVERY
@given(data=st.data())
def test_a_payload_reads_back(kind: str, data: st.DataObject) -> None:
    record = data.draw(PAYLOADS[kind])
    assert DECODERS[kind](record.encode()) == record


@EVERY
@given(data=st.data())
def test_a_damaged_payload_is_refused_or_written_the_same_way(
    kind: str, data: st.DataObject
) -> None:
    value: object = cbor.decode(data.draw(PAYLOADS[kind]).encode())
    for _ in range(data.draw(st.integers(1, 2))):
        value = cbor.decode(cbor.encode(data.draw(damaged(value))))
    bad = cbor.encode(value)
    for payload in (bad, data.draw(damaged_bytes(bad))):
        try:
            read = DECODERS[kind](payload)
        except Malformed:
            continue
        assert read.encode() == payload


@EVERY
@given(value=VALUES, noise=st.binary(max_size=60))
def test_any_bytes_are_a_payload_or_malformed(kind: str, value: object, noise: bytes) -> None:
    for item in (cbor.encode(value), noise):
        with pytest.raises(Malformed):
            DECODERS[kind](item)
