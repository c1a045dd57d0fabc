# SPDX-License-Identifier: Apache-2.0
"""Who shows a proof of genuineness holds the device's key, now, and for this board."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.errors import FieldpostError, Malformed, Untrusted
from fieldpost.identity.challenge import CONTENT_TYPE, PURPOSE, sign_challenge, verify_challenge
from fieldpost.identity.enrolment import verify_request
from fieldpost.identity.report import verify_report
from fieldpost.keys import Algorithm, PublicKey
from fieldpost.testing.signers import DeterministicSigner

BOARD = "board.test/1#" + "0" * 32
CHALLENGE = bytes(range(32))
UNIT = DeterministicSigner(Algorithm.ED25519, "unit")
OTHER = DeterministicSigner(Algorithm.ED25519, "other unit")


def judge(
    data: bytes,
    *,
    challenge: bytes = CHALLENGE,
    board: str = BOARD,
    key: PublicKey = UNIT.public_key,
) -> str:
    try:
        verify_challenge(data, challenge=challenge, board=board, key=key)
    except Untrusted as refused:
        return refused.reason
    return "genuine"


@pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.ESP256])
def test_a_unit_that_signs_the_challenge_is_genuine(algorithm: Algorithm) -> None:
    unit = DeterministicSigner(algorithm, "unit")
    proof = sign_challenge(CHALLENGE, board=BOARD, signer=unit)
    assert judge(proof, key=unit.public_key) == "genuine"
    assert cbor.encode(cbor.decode(proof)) == proof


def test_a_proof_is_good_for_one_challenge_one_board_and_one_device() -> None:
    proof = sign_challenge(CHALLENGE, board=BOARD, signer=UNIT)
    assert judge(proof, challenge=bytes(32)) == "wrong-challenge"
    assert judge(proof, board=BOARD[:-1] + "1") == "wrong-challenge"
    assert judge(proof, key=OTHER.public_key) == "wrong-device"


def test_a_header_that_names_the_unit_does_not_make_the_signature_its_own() -> None:
    protected = cbor.encode(
        {1: int(UNIT.public_key.algorithm), 3: CONTENT_TYPE, 4: UNIT.public_key.thumbprint()}
    )
    payload = cbor.encode([PURPOSE, BOARD, CHALLENGE])
    signature = OTHER.sign(cbor.encode(["Signature1", protected, b"", payload]))
    forged = cbor.encode(cbor.Tag(18, (protected, {}, payload, signature)))
    assert judge(forged) == "bad-signature"
    unprotected = cbor.encode(cbor.Tag(18, (protected, {4: b"x"}, payload, signature)))
    with pytest.raises(Malformed):
        judge(unprotected)


def test_a_proof_is_no_report_and_no_enrolment() -> None:
    proof = sign_challenge(CHALLENGE, board=BOARD, signer=UNIT)
    for verify in (verify_request, lambda data: verify_report(data, UNIT.public_key)):
        with pytest.raises(FieldpostError):
            verify(proof)


@pytest.mark.parametrize("length", [0, 15, 65])
def test_a_challenge_is_neither_guessable_nor_long(length: int) -> None:
    with pytest.raises(Malformed):
        sign_challenge(bytes(length), board=BOARD, signer=UNIT)


@given(st.data())
def test_no_changed_byte_goes_unnoticed(data: st.DataObject) -> None:
    proof = bytearray(sign_challenge(CHALLENGE, board=BOARD, signer=UNIT))
    at = data.draw(st.integers(0, len(proof) - 1))
    proof[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((Malformed, Untrusted)):
        verify_challenge(bytes(proof), challenge=CHALLENGE, board=BOARD, key=UNIT.public_key)
