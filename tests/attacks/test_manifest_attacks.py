# SPDX-License-Identifier: Apache-2.0
"""Attacks on a release between its maker and the device: what the device believes afterwards."""

import pytest

from fieldpost.errors import Untrusted
from fieldpost.keys import Algorithm
from fieldpost.suit.envelope import (
    AuthenticationBlock,
    Envelope,
    decode_envelope,
    sign_manifest,
    verify_envelope,
)
from fieldpost.suit.manifest import Component, Manifest, encode_manifest
from fieldpost.testing.signers import DeterministicSigner

FIRST = DeterministicSigner(Algorithm.ED25519, "maker/release/1")
SECOND = DeterministicSigner(Algorithm.ESP256, "maker/release/2")
THIEF = DeterministicSigner(Algorithm.ED25519, "thief")
KEYS = {signer.public_key.thumbprint(): signer.public_key for signer in (FIRST, SECOND)}


def release(image: bytes, sequence: int = 5) -> bytes:
    component = Component((b"main",), image * 32, 1000)
    return encode_manifest(Manifest(sequence, b"v" * 16, b"c" * 16, (component,)))


GOOD, EVIL = release(b"\x01"), release(b"\x02")
HONEST = Envelope(GOOD, (sign_manifest(GOOD, FIRST), sign_manifest(GOOD, SECOND)))


def believe(envelope: Envelope, threshold: int = 2) -> Manifest:
    """What a device of this maker takes from the envelope."""
    return verify_envelope(envelope.encode(), keys=KEYS, threshold=threshold, most_bytes=16_384)[1]


def refusal_of(envelope: Envelope, threshold: int = 2) -> str:
    with pytest.raises(Untrusted) as refusal:
        believe(envelope, threshold)
    return refusal.value.reason


def test_control_the_honest_release_is_believed() -> None:
    assert believe(HONEST).components[0].digest == b"\x01" * 32


def test_signatures_moved_to_another_manifest_are_refused() -> None:
    assert refusal_of(Envelope(EVIL, HONEST.blocks)) == "bad-signature"


def test_an_image_swapped_under_the_signatures_is_refused() -> None:
    """The bytes of the manifest change, digest and signatures stay."""
    data = HONEST.encode().replace(b"\x01" * 32, b"\x02" * 32)
    with pytest.raises(Untrusted) as refusal:
        verify_envelope(data, keys=KEYS, threshold=2, most_bytes=16_384)
    assert refusal.value.reason == "wrong-digest"


def test_one_stolen_key_of_two_is_not_enough() -> None:
    assert refusal_of(Envelope(EVIL, (sign_manifest(EVIL, FIRST),))) == "manifest-threshold"
    with_the_defence_off = believe(Envelope(EVIL, (sign_manifest(EVIL, FIRST),)), threshold=1)
    assert with_the_defence_off.components[0].digest == b"\x02" * 32


def test_one_stolen_key_cannot_count_twice() -> None:
    """The same signature under another kid, or with the thief's own key beside it."""
    stolen = sign_manifest(EVIL, FIRST)
    renamed = AuthenticationBlock(b"\x00" * 32, stolen.algorithm, stolen.signature)
    assert refusal_of(Envelope(EVIL, (stolen, renamed))) == "manifest-threshold"
    own = sign_manifest(EVIL, THIEF)
    assert refusal_of(Envelope(EVIL, (stolen, own))) == "manifest-threshold"


def test_a_signature_under_a_known_keys_name_is_refused_even_beside_enough_good_ones() -> None:
    forged = sign_manifest(GOOD, THIEF)
    named = AuthenticationBlock(SECOND.public_key.thumbprint(), forged.algorithm, forged.signature)
    assert refusal_of(Envelope(GOOD, (HONEST.blocks[0], named)), threshold=1) == "bad-signature"


def test_a_block_cannot_choose_its_keys_algorithm() -> None:
    """An Ed25519 signature by a P-256 key's name, or a future algorithm by a known key's."""
    kid = FIRST.public_key.thumbprint()
    for algorithm in (Algorithm.ESP256, -1000):
        other = AuthenticationBlock(kid, int(algorithm), sign_manifest(GOOD, FIRST).signature)
        assert refusal_of(Envelope(GOOD, (other,)), threshold=1) == "bad-signature"


def test_stripping_the_second_signature_loses_the_threshold_not_the_check() -> None:
    for block in HONEST.blocks:
        assert refusal_of(Envelope(GOOD, (block,))) == "manifest-threshold"
    assert refusal_of(Envelope(GOOD, ())) == "manifest-threshold"


def test_the_malleated_p256_signature_is_refused() -> None:
    """(r, n-s) verifies in plain ECDSA; accepting it would give one release two envelopes."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    block = sign_manifest(GOOD, SECOND)
    high = (order - int.from_bytes(block.signature[32:], "big")).to_bytes(32, "big")
    twin = AuthenticationBlock(block.kid, block.algorithm, block.signature[:32] + high)
    assert refusal_of(Envelope(GOOD, (twin,)), threshold=1) == "bad-signature"


def test_an_unsigned_envelope_is_readable_and_never_believed() -> None:
    bare = Envelope(GOOD, ())
    assert decode_envelope(bare.encode()).manifest == GOOD
    assert refusal_of(bare, threshold=1) == "manifest-threshold"
