# SPDX-License-Identifier: Apache-2.0
"""An upload permit is one maker's word about one blob on one board, for a while."""

from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.posts.permit import (
    MAX_PERMIT_BYTES,
    MAX_PERMIT_S,
    Permit,
    decode_permit,
    sign_permit,
    verify_permit,
)
from fieldpost.testing.signers import DeterministicSigner

SIGNER = DeterministicSigner(Algorithm.ED25519, "release")
DIGEST = b"\x01" * 32
MAKER = b"\xab" * 16
BOARD = "board.test/1#00112233445566778899aabbccddeeff"
NOW = 1_800_000_000
PERMIT = Permit(digest=DIGEST, size=5, not_after=NOW + 60)


def shown(**changes: Any) -> bytes:
    signing: dict[str, Any] = {"maker": MAKER, "board": BOARD, "signer": SIGNER} | changes
    return sign_permit(signing.pop("permit", PERMIT), **signing)


def verify(data: bytes, *, now: int = NOW, key: Any = SIGNER.public_key) -> Permit:
    return verify_permit(decode_permit(data), key, digest=DIGEST, board=BOARD, now=now)


def test_a_permit_reads_back_and_names_its_key() -> None:
    assert verify(shown()) == PERMIT
    assert decode_permit(shown()).maker == MAKER
    assert decode_permit(shown()).kid == SIGNER.public_key.thumbprint()
    for algorithm in Algorithm:
        signer = DeterministicSigner(algorithm, "release")
        data = shown(signer=signer)
        assert len(data) <= MAX_PERMIT_BYTES
        assert verify(data, key=signer.public_key) == PERMIT


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (shown(board="board.test/1#ff"), "wrong-board"),
        (shown(permit=Permit(digest=b"\x03" * 32, size=5, not_after=NOW + 60)), "wrong-digest"),
        (shown(permit=Permit(digest=DIGEST, size=5, not_after=NOW - 1)), "permit-over"),
        (
            shown(permit=Permit(digest=DIGEST, size=5, not_after=NOW + MAX_PERMIT_S + 1)),
            "permit-over",
        ),
        (shown()[:-1] + bytes([shown()[-1] ^ 1]), "bad-signature"),
        (shown(signer=DeterministicSigner(Algorithm.ED25519, "stranger")), "bad-signature"),
        (shown(signer=DeterministicSigner(Algorithm.ESP256, "release")), "unknown-key"),
    ],
)
def test_another_permit_is_not_taken(data: bytes, reason: str) -> None:
    with pytest.raises(Untrusted) as refused:
        verify(data)
    assert refused.value.reason == reason


def test_a_key_that_the_maker_has_not_is_not_taken() -> None:
    with pytest.raises(Untrusted, match="unknown-key"):
        verify(shown(), key=None)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "blob.gone"},
        {"issuer": "acme"},
        {"issuer": MAKER.hex().upper()},
        {"subject": "ff" * 32},
        {"payload": cbor.encode({1: DIGEST, 2: 5})},
        {"payload": cbor.encode({1: DIGEST, 2: 5, 3: NOW, 4: 1})},
        {"payload": cbor.encode({1: DIGEST, 2: -5, 3: NOW})},
    ],
)
def test_what_is_no_permit_is_malformed(changes: dict[str, Any]) -> None:
    statement = {
        "kind": "upload",
        "issuer": MAKER.hex(),
        "subject": DIGEST.hex(),
        "audience": BOARD,
        "payload": PERMIT.encode(),
    }
    with pytest.raises(Malformed):
        decode_permit(sign_post(Statement(**(statement | changes)), [SIGNER]).encode())


def test_two_signatures_and_too_many_bytes_are_malformed() -> None:
    statement = decode_permit(shown()).post.statement
    second = DeterministicSigner(Algorithm.ED25519, "second")
    with pytest.raises(Malformed):
        decode_permit(sign_post(statement, [SIGNER, second]).encode())
    with pytest.raises(Malformed):
        decode_permit(bytes(MAX_PERMIT_BYTES + 1))
