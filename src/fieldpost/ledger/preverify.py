# SPDX-License-Identifier: Apache-2.0
"""Signatures checked ahead of their batch, by as many threads as an engine likes.

    checks = signature_checks(map, post)        on the thread that took the post
    for check in checks: check.verify()         in a pool
    apply_batch(…, check_signature=remembering(verified))

Nothing is decided here: a key that cannot be found yet is simply verified when the rule asks. So
are the many keys of `maker.register`, which strangers may send: the rule judges admission first.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from fieldpost.errors import FieldpostError
from fieldpost.keys import PublicKey, verify_signature
from fieldpost.ledger.context import CheckSignature, Reader
from fieldpost.ledger.reading import read_board, read_maker
from fieldpost.posts.envelope import Post
from fieldpost.records import map_keys
from fieldpost.records.maker import Role, decode_maker_record

_OPERATORS_SIGN: Final = frozenset({"board.set", "maker.attest", "blob.gone"})


class SignatureCheck(NamedTuple):
    """One question to `keys.verify_signature`; equal questions have equal answers.

    A tuple, as there is one for each signature of each post: made and hashed in half of the time.
    """

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
        [
            SignatureCheck(key, post.signed_bytes(signature), signature.signature)
            for signature in post.signatures
            if (key := keys.get(signature.kid)) is not None
        ]
    )


def remembering(verified: Iterable[SignatureCheck]) -> CheckSignature:
    """A `check_signature` that asks `verified` first and verifies whatever is not there."""
    by_signature = {check.signature: check for check in verified}

    def check(key: PublicKey, message: bytes, signature: bytes) -> None:
        known = by_signature.get(signature)
        # The key is nearly always the same object, and to compare objects is cheaper than keys.
        if known is None or (known.key is not key and known.key != key) or known.message != message:
            verify_signature(key, message, signature)

    return check


def _candidates(read: Reader, post: Post) -> Mapping[bytes, PublicKey]:
    kind, payload = post.statement.kind, post.statement.payload
    try:
        if kind in _OPERATORS_SIGN:
            if read.value(map_keys.board()) is None:
                return {}  # the genesis is still ahead, as where a log is read from its beginning
            # Keys that a new board record adds are verified when the rule asks.
            return read_board(read).governance
        maker = read_maker(read, bytes.fromhex(post.statement.issuer))
        return {**_keys_of(payload), **maker.by_kid} if kind == "maker.set" else maker.by_kid
    except (FieldpostError, ValueError):
        return {}


def _keys_of(payload: bytes) -> dict[bytes, PublicKey]:
    record = decode_maker_record(payload)
    return {kid: key for role in Role for kid, key in record.keys_of(role).by_kid().items()}
