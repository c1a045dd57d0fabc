# SPDX-License-Identifier: Apache-2.0
"""Proof that a unit holds its key: it signs what somebody else chose (docs/spec/identity.md).

    18([<< {1: alg, 3: "application/vnd.fieldpost.proof+cbor", 4: kid} >>, {},
        << ["fieldpost/genuine", board id, challenge] >>, signature])

Content type and purpose keep it apart from reports, enrolments and posts; the board id keeps it
from being shown as a unit of another board's lot; the challenge, chosen anew each time and not by
the unit, keeps it from being replayed.
"""

from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import PublicKey, Signer, verify_signature

CONTENT_TYPE: Final = "application/vnd.fieldpost.proof+cbor"
PURPOSE: Final = "fieldpost/genuine"
LEAST_CHALLENGE_BYTES: Final = 16
MOST_CHALLENGE_BYTES: Final = 64
MAX_PROOF_BYTES: Final = 1_024


def sign_challenge(challenge: bytes, *, board: str, signer: Signer) -> bytes:
    """The proof of the device whose key `signer` holds. Raises Malformed for a bad challenge."""
    protected, payload = _header(signer.public_key), _payload(challenge, board)
    signature = signer.sign(_signed_bytes(protected, payload))
    return cbor.encode(cbor.Tag(18, (protected, {}, payload, signature)))


def verify_challenge(data: bytes, *, challenge: bytes, board: str, key: PublicKey) -> None:
    """The holder of `key` signed this very challenge for this board.

    `key` comes from the device's leaf in a lot, never from the device. Raises Malformed,
    Untrusted("wrong-device") for another key, Untrusted("wrong-challenge") for another challenge,
    board or purpose, Untrusted("bad-signature").
    """
    if len(data) > MAX_PROOF_BYTES:
        raise Malformed(f"a proof of {len(data)} bytes; at most {MAX_PROOF_BYTES}")
    match cbor.decode(data):
        case cbor.Tag(18, (bytes(protected), dict(unprotected), bytes(payload), bytes(signature))):
            pass
        case _:
            raise Malformed("a proof is a COSE_Sign1 (tag 18)")
    if unprotected:
        raise Malformed("the unprotected header must be empty")
    if protected != _header(key):
        raise Untrusted("wrong-device", "the proof is not by this device's key")
    if payload != _payload(challenge, board):
        raise Untrusted("wrong-challenge", "the proof answers something else")
    verify_signature(key, _signed_bytes(protected, payload), signature)


def _header(key: PublicKey) -> bytes:
    return cbor.encode({1: int(key.algorithm), 3: CONTENT_TYPE, 4: key.thumbprint()})


def _payload(challenge: bytes, board: str) -> bytes:
    if not LEAST_CHALLENGE_BYTES <= len(challenge) <= MOST_CHALLENGE_BYTES:
        raise Malformed(
            f"a challenge has {LEAST_CHALLENGE_BYTES} to {MOST_CHALLENGE_BYTES} bytes, "
            f"not {len(challenge)}"
        )
    return cbor.encode([PURPOSE, board, challenge])


def _signed_bytes(protected: bytes, payload: bytes) -> bytes:
    return cbor.encode(["Signature1", protected, b"", payload])
