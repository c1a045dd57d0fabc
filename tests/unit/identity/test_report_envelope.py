# SPDX-License-Identifier: Apache-2.0
"""A report that is taken apart the quick way is the one that the decoder finds, or none."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.identity import report_envelope
from fieldpost.identity.report_envelope import ReportEnvelope, protected_header, take_apart
from fieldpost.keys import Algorithm

ALGORITHMS = (Algorithm.ED25519, Algorithm.ESP256)


def envelope(claims: bytes, algorithm: Algorithm, signature: bytes = b"s" * 64) -> bytes:
    protected = protected_header(algorithm, b"k" * 32)
    return cbor.encode(cbor.Tag(18, (protected, {}, claims, signature)))


# Around every length at which the head of the claims changes.
REPORTS = [
    envelope(bytes(length), algorithm)
    for length in (0, 23, 24, 25, 232, 255, 256, 257, 3_900)
    for algorithm in ALGORITHMS
]


def outcome(read: Callable[[bytes], ReportEnvelope], data: bytes) -> ReportEnvelope | str:
    try:
        return read(data)
    except Malformed as error:
        return str(error)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("length", [24, 232, 255, 256, 3_900])
def test_what_devices_send_needs_no_decoder(algorithm: Algorithm, length: int) -> None:
    data = envelope(bytes(length), algorithm)
    assert report_envelope._scan(data) == report_envelope._decode(data)


@pytest.mark.parametrize("data", REPORTS)
def test_any_changed_byte_is_judged_as_the_decoder_judges_it(data: bytes) -> None:
    """Each byte of the head and of the end with each bit turned, left out, doubled."""
    assert outcome(take_apart, data) == outcome(report_envelope._decode, data)
    for at in (*range(70), *range(len(data) - 70, len(data))):
        changed = [data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] for bit in range(8)]
        changed += [data[:at] + data[at + 1 :], data[:at] + data[at : at + 1] + data[at:]]
        for other in changed:
            assert outcome(take_apart, other) == outcome(report_envelope._decode, other)


@given(st.binary(max_size=300), st.sampled_from(ALGORITHMS), st.binary(max_size=80), st.binary())
def test_claims_and_signatures_come_out_as_they_went_in(
    claims: bytes, algorithm: Algorithm, signature: bytes, behind: bytes
) -> None:
    data = envelope(claims, algorithm, signature)
    found = take_apart(data)
    assert (found.claims, found.signature, found.algorithm) == (claims, signature, algorithm)
    assert cbor.decode(found.signed) == (
        "Signature1", protected_header(algorithm, b"k" * 32), b"", claims
    )  # fmt: skip
    longer = data + behind
    assert outcome(take_apart, longer) == outcome(report_envelope._decode, longer)
