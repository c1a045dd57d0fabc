# SPDX-License-Identifier: Apache-2.0
"""The envelopes of draft-ietf-suit-manifest appendix B: made by others, signed with their key.

They judge digest, Sig_structure and signature rule. They are ES256 (-7) without kid, so a lenient
reader of this file takes them apart; our own readers must refuse each, and say why.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm, PublicKey, low_s, verify_signature
from fieldpost.suit.digest import wrapped_digest
from fieldpost.suit.envelope import decode_envelope, manifest_digest, sig_structure
from fieldpost.suit.manifest import decode_manifest

HEX_BLOCK = re.compile(r"~~~\s*\n((?:[0-9a-f]+\n)+)~~~")

# Why profile 1 refuses each example's manifest.
WHY = {
    0: "manifest: label 9 is not in profile 1",  # invoke
    1: "shared sequence, command 1: parameter 3 has no place here",  # digest before the class check
    2: "manifest: label 4 is not in profile 1",  # reference URI; install is severed as well
    3: "shared sequence, command 2: must be 1, not 15",  # try-each: two slots
    4: "manifest: label 8 is not in profile 1",  # load
    5: "manifest: label 9 is not in profile 1",  # invoke
}


@dataclass(frozen=True, slots=True)
class Foreign:
    """An envelope by others: any members, any protected header, at most one signature."""

    data: bytes
    members: dict[Any, Any]
    digest: bytes
    protected: bytes | None
    signature: bytes | None


def read_foreign(data: bytes) -> Foreign:
    value: Any = cbor.decode(data)
    assert value.number == 107
    wrapper: Any = cbor.decode(value.value[2])
    named: Any = cbor.decode(wrapper[0])
    algorithm, digest = named
    assert algorithm == -16
    protected = signature = None
    if len(wrapper) == 2:
        sign1: Any = cbor.decode(wrapper[1])
        assert sign1.number == 18
        protected, _, payload, signature = sign1.value
        assert payload is None
    return Foreign(data, value.value, digest, protected, signature)


@pytest.fixture(scope="module")
def examples(shared_vectors: Path) -> list[tuple[int, Foreign]]:
    found = []
    for number in WHY:
        text = (shared_vectors / f"suit/examples/example{number}.txt").read_text()
        found += [
            (number, read_foreign(bytes.fromhex(block.replace("\n", ""))))
            for block in HEX_BLOCK.findall(text)
        ]
    assert len(found) == 13
    return found


@pytest.fixture(scope="module")
def their_key(shared_vectors: Path) -> PublicKey:
    pem = (shared_vectors / "suit/examples/private_key.pem").read_bytes()
    private = load_pem_private_key(pem, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    point = private.public_key().public_numbers()
    return PublicKey(Algorithm.ESP256, point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big"))


def test_their_manifest_digests_are_ours(examples: list[tuple[int, Foreign]]) -> None:
    for _, example in examples:
        assert manifest_digest(example.members[3]) == example.digest


def test_their_severed_elements_have_the_digests_of_their_manifest(
    examples: list[tuple[int, Foreign]],
) -> None:
    whole = [example for _, example in examples if 23 in example.members]
    assert len(whole) == 1
    manifest: Any = cbor.decode(whole[0].members[3])
    for label in (20, 23):
        assert manifest[label] == (-16, wrapped_digest(whole[0].members[label]))


def test_their_signatures_verify_under_our_rule_once_s_is_low(
    examples: list[tuple[int, Foreign]], their_key: PublicKey
) -> None:
    """Their signer does not normalise s; a high s is refused as sent, and only for that."""
    high = signed = 0
    for _, example in examples:
        if example.signature is None or example.protected is None:
            continue
        signed += 1
        assert cbor.decode(example.protected) == {1: -7}
        message = sig_structure(example.protected, example.digest)
        verify_signature(their_key, message, low_s(example.signature))
        if example.signature != low_s(example.signature):
            high += 1
            with pytest.raises(Untrusted, match="bad-signature"):
                verify_signature(their_key, message, example.signature)
        with pytest.raises(Untrusted, match="bad-signature"):
            verify_signature(their_key, message + b"\x00", low_s(example.signature))
    assert (signed, high) == (7, 2)


def test_our_envelope_reader_refuses_each_and_says_why(
    examples: list[tuple[int, Foreign]],
) -> None:
    for _, example in examples:
        if 23 in example.members:
            with pytest.raises(Untrusted, match="envelope: label 20 is not in profile 1"):
                decode_envelope(example.data)
        elif example.signature is None:
            assert decode_envelope(example.data).blocks == ()  # readable, and believed by nobody
        else:
            with pytest.raises(Malformed, match=r"protected header must be \{1: alg, 4: 32-byte"):
                decode_envelope(example.data)


def test_our_profile_refuses_each_manifest_and_says_why(
    examples: list[tuple[int, Foreign]],
) -> None:
    for number, example in examples:
        with pytest.raises(Untrusted, match=re.escape(WHY[number])) as refusal:
            decode_manifest(example.members[3])
        assert refusal.value.reason == "unsupported"
