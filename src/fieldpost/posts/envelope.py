# SPDX-License-Identifier: Apache-2.0
"""The envelope of every post: a SCITT Signed Statement (RFC 9943) in COSE (RFC 9052).

One signature: tag 18, COSE_Sign1 [protected, {}, payload, signature] with protected

    {1: alg, 3: "application/vnd.fieldpost.<kind>+cbor", 4: kid, 15: {1: iss, 2: sub, 3: aud}}

Several: tag 98, COSE_Sign [protected, {}, payload, [[protected, {}, signature]…]]; the body holds
{3, 15}, each signer {1, 4}; signatures are sorted by kid, one per key. One signature never wears
tag 98, unprotected maps are empty, everything is deterministic CBOR: a post has one encoding per
set of signatures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.keys import SIGNATURE_BYTES, Algorithm, Signer
from fieldpost.posts.alone import TYPE_PREFIX, TYPE_SUFFIX, Parts, find_parts
from fieldpost.records.fields import check_text
from fieldpost.records.limits import MAX_ENTRY_BYTES, MAX_NAME, MAX_SIGNATURES, MAX_TEXT

SIGN1: Final = 18
SIGN: Final = 98
_ALGORITHMS: Final[dict[int, Algorithm]] = {int(algorithm): algorithm for algorithm in Algorithm}
_CLAIMS: Final = (1, 2, 3)
_ALONE: Final = (1, 3, 4, 15)
_BODY: Final = (3, 15)
_NO_POST: Final = "a post is a COSE_Sign1 (tag 18) or COSE_Sign (tag 98)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is signed: a payload of a kind, by whom, about what, for which board."""

    kind: str
    issuer: str
    subject: str
    audience: str
    payload: bytes

    def claims(self) -> dict[int, object]:
        """The protected header members {3: content type, 15: CWT claims}."""
        content_type = f"{TYPE_PREFIX}{self.kind}{TYPE_SUFFIX}"
        return {3: content_type, 15: {1: self.issuer, 2: self.subject, 3: self.audience}}

    def signed_bytes(self, algorithm: Algorithm, kid: bytes, *, alone: bool) -> bytes:
        """The COSE Sig_structure: what a key signs, alone (tag 18) or beside others (tag 98)."""
        own: dict[int, object] = {1: int(algorithm), 4: kid}
        if alone:
            protected = cbor.encode(self.claims() | own)
            return cbor.encode(["Signature1", protected, b"", self.payload])
        return cbor.encode(
            ["Signature", cbor.encode(self.claims()), cbor.encode(own), b"", self.payload]
        )


@dataclass(frozen=True, slots=True)
class PostSignature:
    """One signature over a statement. `kid` is the key's thumbprint."""

    kid: bytes
    algorithm: Algorithm
    signature: bytes


@dataclass(frozen=True, slots=True)
class Post:
    """A statement with its signatures, sorted by kid. Nothing here says that they are valid.

    `signed` is a memory of `signed_bytes` by kid, which decoding fills where it has them at hand;
    `records` one of what the payload is by a decoder, in its one form, filled by whoever decodes
    ahead of a rule. A replaced post begins new ones.
    """

    statement: Statement
    signatures: tuple[PostSignature, ...]
    signed: dict[bytes, bytes] = field(default_factory=dict, init=False, compare=False, repr=False)
    records: dict[Callable[[bytes], object], object] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        if len(self.signatures) == 1:
            return
        kids = [signature.kid for signature in self.signatures]
        if not kids or len(kids) > MAX_SIGNATURES or kids != sorted(set(kids)):
            raise Malformed("a post has 1…32 signatures, sorted by kid, one per key")

    def signed_bytes(self, signature: PostSignature) -> bytes:
        """What `signature` must have signed."""
        message = self.signed.get(signature.kid)
        if message is not None:
            return message
        return self.statement.signed_bytes(
            signature.algorithm, signature.kid, alone=len(self.signatures) == 1
        )

    def encode(self) -> bytes:
        """The entry: tag 18 or 98."""
        claims = self.statement.claims()
        if len(self.signatures) == 1:
            only = self.signatures[0]
            protected = cbor.encode(claims | {1: int(only.algorithm), 4: only.kid})
            return cbor.encode(
                cbor.Tag(SIGN1, (protected, {}, self.statement.payload, only.signature))
            )
        signers: tuple[cbor.Value, ...] = tuple(
            (cbor.encode({1: int(s.algorithm), 4: s.kid}), {}, s.signature) for s in self.signatures
        )
        return cbor.encode(
            cbor.Tag(SIGN, (cbor.encode(claims), {}, self.statement.payload, signers))
        )


def sign_statement(statement: Statement, signer: Signer, *, alone: bool) -> PostSignature:
    """One signature; `alone` says whether it will be the post's only one."""
    key = signer.public_key
    kid = key.thumbprint()
    message = statement.signed_bytes(key.algorithm, kid, alone=alone)
    return PostSignature(kid, key.algorithm, signer.sign(message))


def sign_post(statement: Statement, signers: Sequence[Signer]) -> Post:
    """A post signed by all of `signers`."""
    alone = len(signers) == 1
    signatures = [sign_statement(statement, signer, alone=alone) for signer in signers]
    return Post(statement, tuple(sorted(signatures, key=lambda s: s.kid)))


def decode_post(entry: bytes) -> Post:
    """Read an entry as a post. Raises Malformed; judges no signature."""
    if len(entry) > MAX_ENTRY_BYTES:
        raise Malformed(f"a post of {len(entry)} bytes; at most {MAX_ENTRY_BYTES}")
    parts = find_parts(entry)
    return _decode(entry) if parts is None else _put_together(parts)


def _put_together(parts: Parts) -> Post:
    kind, issuer, subject, audience, payload, kid, algorithm, signature, message = parts
    statement = Statement(
        kind=kind, issuer=issuer, subject=subject, audience=audience, payload=payload
    )
    post = Post(statement, (PostSignature(kid, algorithm, signature),))
    post.signed[kid] = message
    return post


def _decode(entry: bytes) -> Post:
    tagged = cbor.decode(entry)
    if not isinstance(tagged, cbor.Tag) or tagged.number not in (SIGN1, SIGN):
        raise Malformed(_NO_POST)
    # By hand, as three quarters of the time of a pattern are its tests of types.
    parts = tagged.value
    if not isinstance(parts, tuple) or len(parts) != 4:
        raise Malformed(_NO_POST)
    protected, unprotected, payload, signed = parts
    if not (
        isinstance(protected, bytes)
        and isinstance(unprotected, dict)
        and isinstance(payload, bytes)
    ):
        raise Malformed(_NO_POST)
    if tagged.number == SIGN1 and isinstance(signed, bytes):
        header = _header(protected, _ALONE)
        _check_empty(unprotected)
        return Post(_statement(header, payload), (_signature(header, signed),))
    if tagged.number == SIGN and isinstance(signed, tuple):
        header = _header(protected, _BODY)
        _check_empty(unprotected)
        if not 2 <= len(signed) <= MAX_SIGNATURES:
            raise Malformed("tag 98 carries 2…32 signatures; one alone wears tag 18")
        return Post(_statement(header, payload), tuple(map(_read_signer, signed)))
    raise Malformed(_NO_POST)


def _read_signer(value: cbor.Value) -> PostSignature:
    match value:
        case (bytes(protected), dict(unprotected), bytes(signature)):
            _check_empty(unprotected)
            return _signature(_header(protected, (1, 4)), signature)
        case _:
            raise Malformed("a COSE_Signature is [protected, {}, signature]")


def _header(protected: bytes, labels: tuple[int, ...]) -> dict[cbor.Key, cbor.Value]:
    header = cbor.decode(protected)
    # Decoded maps are in the order of their encoded keys.
    if not isinstance(header, dict) or tuple(header) != labels:
        raise Malformed(f"a protected header must hold exactly the labels {list(labels)}")
    return header


def _check_empty(unprotected: dict[cbor.Key, cbor.Value]) -> None:
    if unprotected:
        raise Malformed("the unprotected header must be empty")


def _signature(header: dict[cbor.Key, cbor.Value], signature: bytes) -> PostSignature:
    kid, number = header[4], header[1]
    if not isinstance(kid, bytes) or len(kid) != 32:
        raise Malformed("kid must be a 32-byte thumbprint")
    algorithm = _ALGORITHMS.get(number) if type(number) is int else None
    if algorithm is None:
        raise Malformed("alg must be -19, -9 or -48")
    if len(signature) != SIGNATURE_BYTES[algorithm]:
        raise Malformed("a signature has a wrong length")
    return PostSignature(kid, algorithm, signature)


def _statement(header: dict[cbor.Key, cbor.Value], payload: bytes) -> Statement:
    claims = header[15]
    if not isinstance(claims, dict) or tuple(claims) != _CLAIMS:
        raise Malformed("the CWT claims must be iss, sub and aud")
    return Statement(
        kind=_kind(header[3]),
        issuer=check_text(claims[1], "iss", MAX_NAME),
        subject=check_text(claims[2], "sub", MAX_TEXT),
        audience=check_text(claims[3], "aud", MAX_TEXT),
        payload=payload,
    )


def _kind(content_type: cbor.Value) -> str:
    if (
        not isinstance(content_type, str)
        or not content_type.startswith(TYPE_PREFIX)
        or not content_type.endswith(TYPE_SUFFIX)
    ):
        raise Malformed("the content type must be application/vnd.fieldpost.<kind>+cbor")
    return check_text(content_type[len(TYPE_PREFIX) : -len(TYPE_SUFFIX)], "the kind", MAX_NAME)
