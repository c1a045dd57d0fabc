# SPDX-License-Identifier: Apache-2.0
"""Enrolment: only who holds a key can put it into a lot."""

from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.identity.enrolment import CONTENT_TYPE, encode_request, verify_request
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.keys import Algorithm, PublicKey
from fieldpost.testing.signers import DeterministicSigner

DEVICE = DeterministicSigner(Algorithm.ESP256, "device")
OTHER = DeterministicSigner(Algorithm.ESP256, "other")
LEAF = DeviceLeaf("A-1", DEVICE.public_key, b"c" * 16)


@pytest.mark.parametrize("algorithm", [Algorithm.ESP256, Algorithm.ED25519])
def test_a_device_that_holds_its_key_is_taken(algorithm: Algorithm) -> None:
    signer = DeterministicSigner(algorithm, "device")
    leaf = DeviceLeaf("A-1", signer.public_key, b"c" * 16)
    assert verify_request(encode_request(leaf, signer)) == leaf


def test_nobody_makes_a_request_for_a_key_of_others_by_accident() -> None:
    with pytest.raises(Malformed, match="another key"):
        encode_request(LEAF, OTHER)


def request(leaf: DeviceLeaf, signer: DeterministicSigner, header: dict[int, Any]) -> bytes:
    """A request as an attacker would put it together."""
    protected, payload = cbor.encode(header), leaf.encode()
    signature = signer.sign(cbor.encode(["Signature1", protected, b"", payload]))
    return cbor.encode(cbor.Tag(18, (protected, {}, payload, signature)))


HONEST = {1: -9, 3: CONTENT_TYPE, 4: DEVICE.public_key.thumbprint()}


def test_control_the_helper_makes_the_honest_request() -> None:
    assert request(LEAF, DEVICE, HONEST) == encode_request(LEAF, DEVICE)


@pytest.mark.parametrize(
    "header",
    [
        HONEST,
        HONEST | {4: OTHER.public_key.thumbprint()},
        HONEST | {3: "application/eat+cwt"},
        HONEST | {1: -19},
        HONEST | {15: {}},
    ],
)
def test_a_key_of_others_cannot_be_enrolled(header: dict[int, Any]) -> None:
    with pytest.raises(Untrusted, match="bad-signature"):
        verify_request(request(LEAF, OTHER, header))


def test_a_signature_for_something_else_is_no_proof_of_possession() -> None:
    """The same bytes under a report's type, signed by the right key, do not enrol it."""
    report_like = {1: -9, 4: DEVICE.public_key.thumbprint(), 16: "application/eat+cwt"}
    with pytest.raises(Untrusted, match="bad-signature"):
        verify_request(request(LEAF, DEVICE, report_like))


def test_a_changed_serial_is_refused() -> None:
    data = encode_request(LEAF, DEVICE).replace(b"A-1", b"A-2")
    with pytest.raises(Untrusted, match="bad-signature"):
        verify_request(data)


def test_a_key_off_the_curve_is_refused() -> None:
    key = PublicKey(Algorithm.ESP256, b"\x01" * 64)
    leaf = DeviceLeaf("A-1", key, b"c" * 16)
    with pytest.raises(Malformed, match="not on the curve"):
        verify_request(request(leaf, DEVICE, HONEST | {4: key.thumbprint()}))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",
        bytes(2_000),
        cbor.encode(cbor.Tag(18, (b"", {}, b"", b""))),
        cbor.encode(cbor.Tag(18, (b"", {1: 1}, LEAF.encode(), b""))),
        cbor.encode(cbor.Tag(98, (b"", {}, LEAF.encode(), b""))),
    ],
)
def test_what_is_no_request_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        verify_request(data)
