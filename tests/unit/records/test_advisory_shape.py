# SPDX-License-Identifier: Apache-2.0
"""An advisory read as it stands is what its decoder makes of it, and no other bytes are taken."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records.advisory import Advisory, DocumentType, Severity, decode_advisory
from fieldpost.records.advisory_shape import find_advisory
from tests.property.payload_formats import ADVISORIES
from tests.property.strategies_damage import damaged, damaged_bytes

USUAL = Advisory(
    nonce=1,
    class_id=bytes(16),
    number=1,
    cves=("CVE-2027-10001",),
    affected=((1, 4), (6, 6)),
    severity=Severity.HIGH,
    exploited=False,
    document_type=DocumentType.CSAF,
    document=bytes(32),
)


def check_same(payload: bytes) -> None:
    found = find_advisory(payload)
    if found is None:
        return
    assert repr(found) == repr(decode_advisory(payload))
    assert found.encode() == payload


@given(ADVISORIES)
def test_what_is_found_is_what_the_decoder_makes(advisory: Advisory) -> None:
    check_same(advisory.encode())


@given(advisory=ADVISORIES, data=st.data())
def test_nothing_is_found_in_what_the_decoder_refuses(
    advisory: Advisory, data: st.DataObject
) -> None:
    value = data.draw(damaged(cbor.decode(advisory.encode())))
    check_same(cbor.encode(value))
    check_same(data.draw(damaged_bytes(advisory.encode())))


def test_every_byte_of_an_advisory_counts() -> None:
    payload = replace(USUAL, cves=(*USUAL.cves, "CVE-2027-1234567890"), fixed_in=300).encode()
    for at in range(len(payload)):
        for byte in range(256):
            check_same(payload[:at] + bytes((byte,)) + payload[at + 1 :])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cves": ()},
        {"cves": ("CVE-1999-0001", "CVE-2027-1234567890")},
        {"fixed_in": 5},
        {"fixed_in": 70_000, "exploited": True},
        {"nonce": 24, "number": 256, "affected": ((255, 65_535), (65_536, 2**32 - 1))},
        {"severity": Severity.CRITICAL, "document_type": DocumentType.OPENVEX},
    ],
)
def test_usual_advisories_are_found(changes: dict[str, object]) -> None:
    advisory = replace(USUAL, **changes)  # type: ignore[arg-type]
    assert find_advisory(advisory.encode()) == advisory


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": 2**32},
        {"affected": tuple((n, n) for n in range(1, 25))},
        {"cves": tuple(f"CVE-2027-{n:04}" for n in range(24))},
    ],
)
def test_rare_ones_are_left_to_the_decoder(changes: dict[str, object]) -> None:
    advisory = replace(USUAL, **changes)  # type: ignore[arg-type]
    assert find_advisory(advisory.encode()) is None
    assert decode_advisory(advisory.encode()) == advisory


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": 0},
        {"affected": ((3, 2),)},
        {"affected": ((1, 4), (4, 5))},
        {"affected": ((6, 6), (1, 4))},
        {"fixed_in": 6},
        {"cves": ("CVE-2027-10001", "CVE-2027-10001")},
    ],
)
def test_what_the_decoder_refuses_in_the_usual_shape_is_not_found(
    changes: dict[str, object],
) -> None:
    payload = replace(USUAL, **changes).encode()  # type: ignore[arg-type]
    with pytest.raises(Malformed):
        decode_advisory(payload)
    assert find_advisory(payload) is None


def test_a_length_that_is_not_the_names_is_not_found_also_where_the_count_fits_the_rest() -> None:
    two = replace(USUAL, cves=("CVE-2027-10001", "CVE-2027-1001")).encode()
    wrong = two.replace(b"\x82\x6eCVE-2027-10001\x6d", b"\x81\x6dCVE-2027-10001\x6d")
    assert wrong != two
    assert find_advisory(wrong) is None
