# SPDX-License-Identifier: Apache-2.0
"""Signatures checked ahead of their batch, by as many threads as an engine likes.

    checks = signature_checks(map, post)        on the thread that took the post
    for check in checks: check.verify()         in a pool
    apply_batch(…, check_signature=remembering(verified))

Nothing is decided here: a key that cannot be found yet is simply verified when the rule asks.
"""

from collections.abc import Container
from dataclasses import dataclass

from fieldpost.errors import FieldpostError
from fieldpost.keys import PublicKey, verify_signature
from fieldpost.ledger.context import CheckSignature, Reader
from fieldpost.ledger.reading import read_board, read_maker
from fieldpost.posts.envelope import Post
from fieldpost.records.maker import MakerRecord, Role, decode_maker_record


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """One question to `keys.verify_signature`; equal questions have equal answers."""

    key: PublicKey
    message: bytes
    signature: bytes

    def verify(self) -> None:
        """Raises Untrusted("bad-signature")."""
        verify_signature(self.key, self.message, self.signature)


def signature_checks(read: Reader, post: Post) -> tuple[SignatureCheck, ...]:
    """The checks that a rule will ask for, as far as their keys are known. Never raises."""
    keys = _candidates(read, post)
    return tuple(
        SignatureCheck(key, post.signed_bytes(signature), signature.signature)
        for signature in post.signatures
        if (key := keys.get(signature.kid)) is not None
    )


def remembering(verified: Container[SignatureCheck]) -> CheckSignature:
    """A `check_signature` that asks `verified` first and verifies whatever is not there."""

    def check(key: PublicKey, message: bytes, signature: bytes) -> None:
        if SignatureCheck(key, message, signature) not in verified:
            verify_signature(key, message, signature)

    return check


def _candidates(read: Reader, post: Post) -> dict[bytes, PublicKey]:
    try:
        if post.statement.kind == "maker.register":
            board = read_board(read)
            governance = {
                op.governance_key.thumbprint(): op.governance_key for op in board.operators
            }
            return governance | _keys_of(decode_maker_record(post.statement.payload))
        maker = read_maker(read, bytes.fromhex(post.statement.issuer))
    except (FieldpostError, ValueError):
        return {}
    return {kid: entry.key for keys in maker.keys.values() for kid, entry in keys.items()}


def _keys_of(record: MakerRecord) -> dict[bytes, PublicKey]:
    return {kid: key for role in Role for kid, key in record.keys_of(role).by_kid().items()}
