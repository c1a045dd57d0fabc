# SPDX-License-Identifier: Apache-2.0
"""Laws of manifests and envelopes: one encoding each, and no bit of it is free."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.suit.envelope import (
    AuthenticationBlock,
    Envelope,
    decode_envelope,
    sign_manifest,
    verify_envelope,
)
from fieldpost.suit.manifest import Component, Manifest, decode_manifest, encode_manifest
from fieldpost.testing.signers import DeterministicSigner

octets32 = st.binary(min_size=32, max_size=32)
octets16 = st.binary(min_size=16, max_size=16)
ids = st.lists(st.binary(min_size=1, max_size=32), min_size=1, max_size=4).map(tuple)
components = st.builds(
    Component,
    ids,
    octets32,
    st.integers(1, 2**32 - 1),
    st.none() | st.binary(min_size=1, max_size=80),
)
manifests = st.builds(
    Manifest,
    st.integers(1, 2**63 - 1),
    octets16,
    octets16,
    st.lists(components, min_size=1, max_size=16, unique_by=lambda c: c.id).map(tuple),
    st.none() | octets32,
)
blocks = st.lists(
    st.builds(AuthenticationBlock, octets32, st.integers(-70_000, 70_000), st.binary(max_size=80)),
    max_size=5,
    unique_by=lambda block: block.kid,
).map(tuple)

SIGNER = DeterministicSigner(Algorithm.ED25519, "release")
KEYS = {SIGNER.public_key.thumbprint(): SIGNER.public_key}
SMALL = encode_manifest(Manifest(9, b"v" * 16, b"c" * 16, (Component((b"m",), b"d" * 32, 77),)))
SIGNED = Envelope(SMALL, (sign_manifest(SMALL, SIGNER),)).encode()

# Where a byte is changed, inserted or removed, and to what.
mutations = st.tuples(
    st.integers(0, len(SIGNED) - 1), st.integers(1, 255), st.sampled_from(["flip", "add", "cut"])
)


def mutated(data: bytes, mutation: tuple[int, int, str]) -> bytes:
    at, value, how = mutation
    at %= len(data)
    match how:
        case "flip":
            return data[:at] + bytes([data[at] ^ value]) + data[at + 1 :]
        case "add":
            return data[:at] + bytes([value]) + data[at:]
        case _:
            return data[:at] + data[at + 1 :]


@given(manifests)
def test_a_manifest_comes_back_as_it_was(manifest: Manifest) -> None:
    assert decode_manifest(encode_manifest(manifest), decrypts=True) == manifest


@given(st.binary(max_size=200), blocks)
def test_an_envelope_comes_back_as_it_was(
    manifest: bytes, some: tuple[AuthenticationBlock, ...]
) -> None:
    envelope = Envelope(manifest, some)
    assert decode_envelope(envelope.encode()) == envelope


@given(mutations)
def test_what_a_changed_manifest_decodes_to_encodes_to_the_changed_bytes(
    mutation: tuple[int, int, str],
) -> None:
    """So two different byte strings never mean the same manifest."""
    data = mutated(SMALL, mutation)
    try:
        manifest = decode_manifest(data, decrypts=True)
    except (Malformed, Untrusted):
        return
    assert encode_manifest(manifest) == data


@given(mutations)
def test_no_changed_byte_of_a_signed_envelope_is_believed(mutation: tuple[int, int, str]) -> None:
    data = mutated(SIGNED, mutation)
    if data != SIGNED:  # removing one of two equal neighbours, or adding one, may change nothing
        with pytest.raises((Malformed, Untrusted)):
            verify_envelope(data, keys=KEYS, threshold=1, most_bytes=len(SIGNED) + 1)


@pytest.mark.parametrize("bit", range(8))
def test_no_flipped_bit_of_a_signed_envelope_is_believed(bit: int) -> None:
    """Every bit of every byte, so that no byte is outside digest, signature and shape."""
    for at in range(len(SIGNED)):
        data = SIGNED[:at] + bytes([SIGNED[at] ^ 1 << bit]) + SIGNED[at + 1 :]
        with pytest.raises((Malformed, Untrusted)):
            verify_envelope(data, keys=KEYS, threshold=1, most_bytes=len(SIGNED))


@given(st.binary(max_size=300))
def test_no_bytes_break_the_readers(data: bytes) -> None:
    for read in (decode_manifest, decode_envelope):
        with pytest.raises((Malformed, Untrusted)):
            read(data)
