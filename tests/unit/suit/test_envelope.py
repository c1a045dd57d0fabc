# SPDX-License-Identifier: Apache-2.0
"""The envelope: what names a release, who signed it, and what a reader ignores."""

from hashlib import sha256
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm, verify_signature
from fieldpost.suit.envelope import (
    AuthenticationBlock,
    Envelope,
    decode_envelope,
    manifest_digest,
    sig_structure,
    sign_manifest,
    verify_envelope,
)
from fieldpost.suit.manifest import Component, Manifest, encode_manifest
from fieldpost.testing.signers import DeterministicSigner

MANIFEST = Manifest(3, b"v" * 16, b"c" * 16, (Component((b"main",), b"\x11" * 32, 1000),))
DATA = encode_manifest(MANIFEST)
SIGNERS = [
    DeterministicSigner(Algorithm.ED25519, "release/1"),
    DeterministicSigner(Algorithm.ESP256, "release/2"),
    DeterministicSigner(Algorithm.ML_DSA_44, "release/3"),
]
KEYS = {signer.public_key.thumbprint(): signer.public_key for signer in SIGNERS}
SIGNED = Envelope(DATA, tuple(sign_manifest(DATA, signer) for signer in SIGNERS))
MOST = 16_384


def test_the_shape_is_the_one_of_the_specification() -> None:
    value: Any = cbor.decode(Envelope(DATA, SIGNED.blocks[:1]).encode())
    assert value.number == 107
    assert value.value[3] == DATA
    wrapper: Any = cbor.decode(value.value[2])
    digest, block = wrapper
    named = sha256(cbor.encode(DATA)).digest()
    assert cbor.decode(digest) == (-16, named)
    only = SIGNED.blocks[0]
    protected = cbor.encode({1: int(only.algorithm), 4: only.kid})
    assert cbor.decode(block) == cbor.Tag(18, (protected, {}, None, only.signature))
    message = cbor.encode(["Signature1", protected, b"", digest])
    verify_signature(KEYS[only.kid], message, only.signature)


def test_blocks_are_sorted_by_kid_whatever_the_order_of_signing() -> None:
    backwards = Envelope(DATA, SIGNED.blocks[::-1])
    assert backwards == SIGNED
    assert backwards.encode() == SIGNED.encode()
    assert decode_envelope(SIGNED.encode()) == SIGNED


def test_further_signatures_do_not_rename_a_release() -> None:
    alone = Envelope(DATA, SIGNED.blocks[:1])
    assert alone.digest == SIGNED.digest == manifest_digest(DATA)


def test_a_key_signs_once() -> None:
    with pytest.raises(Malformed, match="signs an envelope once"):
        Envelope(DATA, (SIGNED.blocks[0],) * 2)


def test_an_envelope_has_at_most_32_blocks() -> None:
    many = tuple(AuthenticationBlock(bytes([i]) * 32, -19, b"") for i in range(33))
    with pytest.raises(Malformed, match="at most 32"):
        Envelope(DATA, many)
    assert len(decode_envelope(Envelope(DATA, many[:32]).encode()).blocks) == 32


def test_every_algorithm_verifies_and_the_threshold_is_the_readers() -> None:
    found = verify_envelope(SIGNED.encode(), keys=KEYS, threshold=3, most_bytes=MOST)
    assert found == (manifest_digest(DATA), MANIFEST)
    with pytest.raises(Untrusted) as refusal:
        verify_envelope(SIGNED.encode(), keys=KEYS, threshold=4, most_bytes=MOST)
    assert refusal.value.reason == "manifest-threshold"


def test_no_reader_can_ask_for_no_signature() -> None:
    with pytest.raises(ValueError, match="unsigned"):
        verify_envelope(SIGNED.encode(), keys=KEYS, threshold=0, most_bytes=MOST)


def test_blocks_of_unknown_keys_and_algorithms_are_ignored() -> None:
    """A device of today reads what a maker signs in twenty years beside its key."""
    stranger = DeterministicSigner(Algorithm.ED25519, "stranger")
    future = AuthenticationBlock(b"\xff" * 32, -1000, b"f" * 5000)
    blocks = (SIGNED.blocks[0], sign_manifest(DATA, stranger), future)
    data = Envelope(DATA, blocks).encode()
    assert verify_envelope(data, keys=KEYS, threshold=1, most_bytes=MOST)[1] == MANIFEST
    with pytest.raises(Untrusted, match="1 known keys signed, not 2"):
        verify_envelope(data, keys=KEYS, threshold=2, most_bytes=MOST)


def test_an_endless_envelope_is_not_even_parsed() -> None:
    data = SIGNED.encode()
    with pytest.raises(Malformed, match=f"at most {len(data) - 1}"):
        verify_envelope(data, keys=KEYS, threshold=1, most_bytes=len(data) - 1)
    verify_envelope(data, keys=KEYS, threshold=1, most_bytes=len(data))


def test_a_signed_manifest_outside_the_profile_is_still_refused() -> None:
    other = cbor.encode({1: 1, 9: b"\x80"})
    data = Envelope(other, (sign_manifest(other, SIGNERS[0]),)).encode()
    with pytest.raises(Untrusted, match="label 9"):
        verify_envelope(data, keys=KEYS, threshold=1, most_bytes=MOST)


def wrapped(*, wrapper: object = None) -> bytes:
    digest = cbor.encode([-16, manifest_digest(DATA)])
    parts = [digest, SIGNED.blocks[0].encode()] if wrapper is None else wrapper
    return cbor.encode(cbor.Tag(107, {2: cbor.encode(parts), 3: DATA}))


def block_with(**parts: object) -> object:
    """An authentication wrapper whose block has other parts than ours."""
    block = SIGNED.blocks[0]
    cose: dict[str, Any] = {"protected": block.protected(), "unprotected": {}, "payload": None}
    cose |= {"signature": block.signature} | parts
    digest = cbor.encode([-16, manifest_digest(DATA)])
    return [digest, cbor.encode(cbor.Tag(18, tuple(cose.values())))]


def test_control_the_helpers_make_an_envelope_that_is_read() -> None:
    assert decode_envelope(wrapped()) == decode_envelope(wrapped(wrapper=block_with()))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (cbor.encode({2: b"", 3: b""}), "tag 107"),
        (cbor.encode(cbor.Tag(107, ())), "must be a map"),
        (cbor.encode(cbor.Tag(107, {3: DATA})), "byte strings 2 and 3"),
        (wrapped(wrapper=[]), "a digest and at most 32 blocks"),
        (wrapped(wrapper=[cbor.encode([-16, b"d"])]), "digest of 1 bytes"),
        (wrapped(wrapper=[cbor.encode([-16, manifest_digest(DATA)]), 0]), "byte string"),
        (wrapped(wrapper=block_with(unprotected={4: b"k"})), "unprotected header must be empty"),
        (wrapped(wrapper=block_with(payload=b"")), "detached payload"),
        (wrapped(wrapper=block_with(protected=cbor.encode({1: -19}))), "protected header must be"),
        (
            wrapped(wrapper=block_with(protected=cbor.encode({1: -19, 4: b"k" * 31}))),
            "protected header must be",
        ),
        (
            wrapped(wrapper=block_with(protected=cbor.encode({1: True, 4: b"k" * 32}))),
            "protected header must be",
        ),
    ],
)
def test_what_is_no_envelope_of_ours_is_malformed(data: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        decode_envelope(data)


def test_unsorted_and_repeated_blocks_are_malformed() -> None:
    """One set of signatures has one encoding."""
    digest = cbor.encode([-16, manifest_digest(DATA)])
    first, second = (block.encode() for block in SIGNED.blocks[:2])
    for blocks in ((second, first), (first, first)):
        with pytest.raises(Malformed, match="sorted by kid"):
            decode_envelope(wrapped(wrapper=[digest, *blocks]))


def test_severable_elements_are_refused_by_name() -> None:
    data = cbor.encode(cbor.Tag(107, {2: b"\x80", 3: DATA, 23: b"text"}))
    with pytest.raises(Untrusted, match="unsupported: envelope: label 23 is not in profile 1"):
        decode_envelope(data)


def test_a_mac_is_refused_by_name() -> None:
    digest = cbor.encode([-16, manifest_digest(DATA)])
    mac = cbor.encode(cbor.Tag(17, (b"", {}, None, b"")))
    with pytest.raises(Untrusted, match="unsupported: authentication by COSE tag 17"):
        decode_envelope(wrapped(wrapper=[digest, mac]))


def test_the_digest_of_another_manifest_is_refused() -> None:
    digest = cbor.encode([-16, sha256(DATA).digest()])  # without the byte string's head
    with pytest.raises(Untrusted) as refusal:
        decode_envelope(wrapped(wrapper=[digest]))
    assert refusal.value.reason == "wrong-digest"


def test_what_a_block_signs_covers_key_algorithm_and_digest() -> None:
    block = SIGNED.blocks[0]
    messages = {
        sig_structure(block.protected(), b"\x00" * 32),
        sig_structure(block.protected(), b"\x01" * 32),
        sig_structure(AuthenticationBlock(b"k" * 32, block.algorithm, b"").protected(), b"\0" * 32),
        sig_structure(AuthenticationBlock(block.kid, -1, b"").protected(), b"\0" * 32),
    }
    assert len(messages) == 4
