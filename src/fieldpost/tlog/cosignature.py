# SPDX-License-Identifier: Apache-2.0
r"""Cosignatures: what a cosigner says about a checkpoint, and when (C2SP tlog-cosignature).

    0x04 Ed25519    signs   cosignature/v1\n  time <T>\n  <checkpoint text>
    0x06 ML-DSA-44  signs   "subtree/v1\n\0" ‖ u8 len ‖ cosigner name ‖ u64 T ‖
                            u8 len ‖ origin ‖ u64 start = 0 ‖ u64 end = size ‖ root
    payload         u64 T ‖ signature                                    (big-endian)

T is Unix seconds. With T ≠ 0 it says "the largest tree that I had seen by T"; T = 0 makes no
such claim and never counts towards freshness. An Ed25519 cosignature does not name its
cosigner, so one Ed25519 key must not serve two names.
"""

from dataclasses import dataclass
from typing import Final

from fieldpost.errors import Malformed, Misconfigured, Untrusted
from fieldpost.keys import (
    SIGNATURE_BYTES,
    Accepts,
    Algorithm,
    PublicKey,
    Signer,
    verify_signature,
)
from fieldpost.tlog.note import (
    COSIGNATURE_ED25519,
    COSIGNATURE_MLDSA44,
    KEY_ID_BYTES,
    NoteSignature,
    VerifierKey,
)
from fieldpost.tlog.treehead import Checkpoint, format_checkpoint

MAX_TIMESTAMP: Final = 2**63 - 1

_TIMESTAMP_BYTES: Final = 8
_LABEL: Final = b"subtree/v1\n\0"
_LENGTHS: Final = (SIGNATURE_BYTES[Algorithm.ED25519], SIGNATURE_BYTES[Algorithm.ML_DSA_44])


@dataclass(frozen=True, slots=True)
class Cosignature:
    """One cosignature, unverified. `timestamp` is Unix seconds, 0…2^63-1.

    Raises Malformed unless the key id has 4 bytes and the signature 64 or 2420.
    """

    key_id: bytes
    timestamp: int
    signature: bytes

    def __post_init__(self) -> None:
        if len(self.key_id) != KEY_ID_BYTES or len(self.signature) not in _LENGTHS:
            raise Malformed("a cosignature's key id or signature has a wrong length")
        if not 0 <= self.timestamp <= MAX_TIMESTAMP:
            raise Malformed("a cosignature's timestamp is 0…2^63-1")


def cosigner_key(name: str, public_key: PublicKey) -> VerifierKey:
    """The key under which `name` cosigns: 0x04 for Ed25519, 0x06 for ML-DSA-44.

    Raises Misconfigured for other algorithms, Malformed for a name that no note can carry.
    """
    match public_key.algorithm:
        case Algorithm.ED25519:
            return VerifierKey(name, COSIGNATURE_ED25519, public_key.raw)
        case Algorithm.ML_DSA_44:
            return VerifierKey(name, COSIGNATURE_MLDSA44, public_key.raw)
        case other:
            raise Misconfigured(f"a cosigner's key is Ed25519 or ML-DSA-44, not {other.name}")


def cosigned_message(
    key: VerifierKey, checkpoint: Checkpoint, timestamp: int, *, text: str | None = None
) -> bytes:
    """The bytes that `key` signs. ValueError for a key of a log (0x01).

    Extension lines are covered by 0x04 only. `text` is the checkpoint's, where it is at hand.
    """
    if key.type == COSIGNATURE_ED25519:
        text = format_checkpoint(checkpoint) if text is None else text
        return f"cosignature/v1\ntime {timestamp}\n{text}".encode()
    if key.type == COSIGNATURE_MLDSA44:
        return b"".join(
            (
                _LABEL,
                _short_vector(key.name),
                timestamp.to_bytes(8, "big"),
                _short_vector(checkpoint.origin),
                (0).to_bytes(8, "big"),
                checkpoint.size.to_bytes(8, "big"),
                checkpoint.root,
            )
        )
    raise ValueError("a key of type 0x01 signs checkpoints, it does not cosign them")


def _short_vector(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data


def cosign(checkpoint: Checkpoint, *, name: str, signer: Signer, timestamp: int) -> Cosignature:
    """Cosign a checkpoint that the caller has checked. The signer's algorithm decides the type.

    Raises Misconfigured for an algorithm that does not cosign, ValueError for a timestamp
    outside 1…2^63-1, and what the signer raises.
    """
    if not 0 < timestamp <= MAX_TIMESTAMP:
        raise ValueError("a cosigner's clock must be in 1…2^63-1")
    key = cosigner_key(name, signer.public_key)
    signature = signer.sign(cosigned_message(key, checkpoint, timestamp))
    return Cosignature(key.key_id, timestamp, signature)


def verify_cosignature(
    key: VerifierKey,
    checkpoint: Checkpoint,
    cosignature: Cosignature,
    *,
    counted: bool = True,
    quick_yes: Accepts | None = None,
) -> Cosignature:
    """Check that `key` cosigned this checkpoint at the stated time; returns the cosignature.

    `quick_yes` is that of `verify_signature`.
    Raises Untrusted: "unknown-key" for another key's id, "bad-signature", and "no-timestamp"
    for timestamp 0, unless `counted` is false (a valid statement, but no claim to be latest).
    """
    if cosignature.key_id != key.key_id:
        raise Untrusted("unknown-key", f"the cosignature is not by {key.name}")
    if counted and cosignature.timestamp == 0:
        raise Untrusted("no-timestamp", f"{key.name} does not say when")
    message = cosigned_message(key, checkpoint, cosignature.timestamp)
    verify_signature(key.public_key, message, cosignature.signature, quick_yes)
    return cosignature


def format_cosignature(cosignature: Cosignature, *, name: str) -> NoteSignature:
    """The note signature of a cosignature by the cosigner `name`."""
    payload = cosignature.timestamp.to_bytes(_TIMESTAMP_BYTES, "big") + cosignature.signature
    return NoteSignature(name, cosignature.key_id, payload)


def parse_cosignature(signature: NoteSignature) -> Cosignature:
    """Read a note signature of type 0x04 or 0x06. Raises Malformed for any other payload."""
    if len(signature.payload) < _TIMESTAMP_BYTES:
        raise Malformed("a cosignature is cut off")
    timestamp = int.from_bytes(signature.payload[:_TIMESTAMP_BYTES], "big")
    return Cosignature(signature.key_id, timestamp, signature.payload[_TIMESTAMP_BYTES:])
