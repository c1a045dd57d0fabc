# SPDX-License-Identifier: Apache-2.0
"""Who may post what: signatures, thresholds, scopes and nonces (docs/spec/posts.md).

Every signature of a post must verify and be by a key that is entitled to it; one that is not
refuses the post, so nobody can decorate an entry. Where a role's threshold is 1, exactly one key
signs and the nonce is that key's own; otherwise at least the threshold signs and the nonce is the
role's. So a post signed under one threshold can never be replayed under another. Operators count
theirs per key: where several sign, the key of the one in whose name the post is.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import PublicKey, check_key
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Overlay, Reader, Writes
from fieldpost.ledger.reading import Maker, read_count
from fieldpost.posts.envelope import Post
from fieldpost.records import map_keys
from fieldpost.records.board import BoardRecord, Operator
from fieldpost.records.maker import Role, Scope


class Reach(NamedTuple):
    """What a post touches, for scopes. `devices`: enrolled by the key, this post included."""

    class_id: bytes
    channel: str | None = None
    devices: int | None = None


def check_signatures(post: Post, keys: Mapping[bytes, PublicKey], ctx: Context) -> None:
    """Every signature is by one of `keys` (by thumbprint) and verifies. Raises Rejected."""
    for signature in post.signatures:
        key = keys.get(signature.kid)
        if key is None:
            raise refusal(Code.UNKNOWN_KEY, f"key {signature.kid.hex()} may not sign this post")
        if key.algorithm is not signature.algorithm:
            raise refusal(Code.BAD_SIGNATURE, f"key {signature.kid.hex()} has another algorithm")
        try:
            ctx.check_signature(key, post.signed_bytes(signature), signature.signature)
        except Untrusted as error:
            raise refusal(
                Code.BAD_SIGNATURE, f"the signature of key {signature.kid.hex()} is not valid"
            ) from error


def check_role(post: Post, ctx: Context, maker: Maker, role: Role, reach: Reach) -> None:
    """Enough keys of `role` signed, each within its scope, and nobody else. Raises Rejected."""
    entitled = maker.keys[role]
    for signature in post.signatures:
        entry = entitled.get(signature.kid)
        if entry is not None and entry.scope is not None:
            _check_scope(entry.scope, reach, ctx.time)
    check_signatures(post, maker.public_keys[role], ctx)
    _check_enough(post, maker.record.keys_of(role).threshold, role)


def _check_enough(post: Post, threshold: int, role: Role) -> None:
    if len(post.signatures) < threshold:
        raise refusal(
            Code.THRESHOLD, f"{len(post.signatures)} of {threshold} {role.name.lower()} keys signed"
        )


def _check_scope(scope: Scope, reach: Reach, time: int) -> None:
    if scope.classes is not None and reach.class_id not in scope.classes:
        raise refusal(Code.SCOPE, f"the key is not for class {reach.class_id.hex()}")
    if scope.channels is not None and reach.channel not in (None, *scope.channels):
        raise refusal(Code.SCOPE, f"the key is not for channel {reach.channel}")
    if scope.devices is not None and reach.devices is not None and reach.devices > scope.devices:
        raise refusal(Code.SCOPE, f"the key may enrol {scope.devices} devices in all")
    if scope.not_after is not None and time > scope.not_after:
        raise refusal(Code.SCOPE, f"the key's time ended at {scope.not_after}")


def take_nonce(read: Reader, post: Post, maker: Maker, role: Role, nonce: int) -> Writes:
    """The write that uses up `nonce`, which must be the next one. Raises Rejected."""
    if maker.record.keys_of(role).threshold > 1:
        key = map_keys.nonce_of_role(maker.id, role)
    elif len(post.signatures) == 1:
        key = map_keys.nonce_of_key(post.signatures[0].kid)
    else:
        raise refusal(Code.THRESHOLD, f"one {role.name.lower()} key acts alone; sign with one")
    return _take(read, key, nonce)


def check_operator(post: Post, ctx: Context, board: BoardRecord) -> Operator:
    """The operator in whose name the post is, which alone signed it. Raises Rejected."""
    operator = issuing_operator(post, board)
    check_signatures(post, {operator.governance_key.thumbprint(): operator.governance_key}, ctx)
    return operator


def check_operators(post: Post, ctx: Context, board: BoardRecord, *, needed: int) -> Operator:
    """At least `needed` operators signed, the issuer among them: this one. Raises Rejected."""
    issuer = issuing_operator(post, board)
    check_signatures(post, board.governance, ctx)
    if issuer.governance_key.thumbprint() not in {s.kid for s in post.signatures}:
        raise refusal(Code.THRESHOLD, f"{issuer.name}, in whose name the post is, did not sign")
    if len(post.signatures) < needed:
        raise refusal(Code.THRESHOLD, f"{len(post.signatures)} of {needed} operators signed")
    return issuer


def issuing_operator(post: Post, board: BoardRecord) -> Operator:
    """The operator whose name is `iss`. Raises Rejected(wrong-issuer)."""
    for operator in board.operators:
        if operator.name == post.statement.issuer:
            return operator
    raise refusal(Code.WRONG_ISSUER, f"{post.statement.issuer} is no operator of this board")


def take_operator_nonce(read: Reader, operator: Operator, nonce: int) -> Writes:
    """The write that uses up `nonce` of an issuing operator. Raises Rejected(nonce)."""
    return _take(read, map_keys.nonce_of_key(operator.governance_key.thumbprint()), nonce)


def _take(read: Reader, key: bytes, nonce: int) -> Writes:
    expected = read_count(read, key) + 1
    if nonce != expected:
        raise refusal(Code.NONCE, f"nonce {nonce}; the next one is {expected}")
    return {key: cbor.encode(nonce)}


def check_sound(key: PublicKey, what: str) -> None:
    """`keys.check_key`, which is too dear for every signature. Raises Rejected(bad-key)."""
    try:
        check_key(key)
    except Malformed as error:
        raise refusal(Code.BAD_KEY, f"{what}: {error}") from error


def take_keys(read: Reader, keys: Iterable[tuple[PublicKey, str]], *, holder: str) -> Writes:
    """The writes that make each (key, role) the holder's, in that role alone, for ever.

    Raises Rejected: `bad-key`, and `key-taken` also for a key that occurs twice in `keys`.
    """
    writes: Writes = {}
    taken = Overlay(read, writes)
    for key, role in keys:
        check_sound(key, f"{role} key of {holder}")
        thumbprint = key.thumbprint()
        map_key = map_keys.used_key(thumbprint)
        if taken.value(map_key) is not None:
            raise refusal(Code.KEY_TAKEN, f"key {thumbprint.hex()} is in use on this board")
        writes[map_key] = cbor.encode([holder, role])
    return writes
