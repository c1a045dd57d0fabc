# SPDX-License-Identifier: Apache-2.0
"""What is to be signed, carried to another machine, and the signatures carried back. Pure.

    request    = ["fieldpost/unsigned", 1, [kind, iss, sub, aud, payload], alone,
                  [[words, count, [COSE_Key…]]…], previous | null]
    signatures = ["fieldpost/signatures", 1, SHA-256 of the request, [[kid, alg, signature]…]]

A request says which keys must sign: at least `count` of each group. `alone` is whether the post
will carry one signature (RFC 9052 signs other bytes then). `previous` is the entry of the link that
a link replaces: the statement names its digest, so whoever signs sees what changes. Nothing in
either file is secret, and neither is believed without looking at it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm, PublicKey, Signer, parse_cose_key, verify_signature
from fieldpost.posts.envelope import Post, PostSignature, Statement, sign_statement
from fieldpost.records.limits import MAX_SIGNATURES

_REQUEST = "fieldpost/unsigned"
_SIGNATURES = "fieldpost/signatures"


@dataclass(frozen=True, slots=True)
class Needed:
    """At least `count` of `keys` must sign; `words` say who they are."""

    words: str
    count: int
    keys: tuple[PublicKey, ...]

    def has_enough(self, kids: Iterable[bytes]) -> bool:
        """Whether these thumbprints suffice."""
        return len({key.thumbprint() for key in self.keys} & set(kids)) >= self.count


@dataclass(frozen=True, slots=True)
class Request:
    """A statement, and who must sign it."""

    statement: Statement
    needed: tuple[Needed, ...]
    alone: bool
    previous: bytes | None = None

    @property
    def keys(self) -> dict[bytes, PublicKey]:
        """Every key that may sign, by thumbprint."""
        return {key.thumbprint(): key for group in self.needed for key in group.keys}

    @property
    def digest(self) -> bytes:
        """The name of the request."""
        return sha256(self.encode()).digest()

    def encode(self) -> bytes:
        """Deterministic CBOR: the file that travels."""
        statement = self.statement
        return cbor.encode(
            [
                _REQUEST,
                1,
                [
                    statement.kind,
                    statement.issuer,
                    statement.subject,
                    statement.audience,
                    statement.payload,
                ],
                self.alone,
                [[n.words, n.count, [key.cose_key() for key in n.keys]] for n in self.needed],
                self.previous,
            ]
        )

    def lacks(self, kids: Iterable[bytes]) -> list[str]:
        """What is still missing beside signatures by `kids`, in words; empty when complete."""
        signed = set(kids)
        return [
            f"{group.count} of {len(group.keys)} {group.words}"
            for group in self.needed
            if not group.has_enough(signed)
        ]

    def sign(self, signer: Signer) -> PostSignature:
        """One signature. Raises Untrusted for a key that may not sign."""
        if signer.public_key.thumbprint() not in self.keys:
            raise Untrusted("unknown-key", "the key is none of those that this post needs")
        return sign_statement(self.statement, signer, alone=self.alone)

    def verify(self, signature: PostSignature) -> PostSignature:
        """The signature, if it is a good one of a needed key. Raises Untrusted."""
        key = self.keys.get(signature.kid)
        if key is None or key.algorithm is not signature.algorithm:
            raise Untrusted("unknown-key", f"{signature.kid.hex()} is no key that this post needs")
        message = self.statement.signed_bytes(signature.algorithm, signature.kid, alone=self.alone)
        verify_signature(key, message, signature.signature)
        return signature

    def assemble(self, signatures: Iterable[PostSignature]) -> Post:
        """The post. Raises Malformed if signatures are missing."""
        by_kid = {signature.kid: signature for signature in signatures}
        missing = self.lacks(by_kid)
        if missing:
            raise Malformed(f"signatures are missing: {'; '.join(missing)}")
        chosen = [by_kid[kid] for kid in sorted(by_kid)]
        return Post(self.statement, tuple(chosen[:1] if self.alone else chosen))


def request_of(
    statement: Statement, needed: Sequence[Needed], *, previous: bytes | None = None
) -> Request:
    """A request. Where one key satisfies every group, the post will carry just its signature."""
    shared = set(needed[0].keys).intersection(*(group.keys for group in needed))
    alone = all(group.count == 1 for group in needed) and bool(shared)
    if alone:
        keys = tuple(key for key in needed[0].keys if key in shared)
        needed = [Needed(needed[0].words, 1, keys)]
    return Request(statement, tuple(needed), alone, previous)


def decode_request(data: bytes) -> Request:
    """Read a request. Raises Malformed."""
    match cbor.decode(data):
        case (
            str(label),
            1,
            (str(kind), str(issuer), str(subject), str(audience), bytes(payload)),
            bool(alone),
            tuple(needed),
            (None | bytes()) as previous,
        ) if label == _REQUEST and needed:
            statement = Statement(
                kind=kind, issuer=issuer, subject=subject, audience=audience, payload=payload
            )
            return Request(statement, tuple(map(_read_needed, needed)), alone, previous)
        case _:
            raise Malformed("this is no file of `--export-unsigned`")


def _read_needed(value: cbor.Value) -> Needed:
    match value:
        case (str(words), int(count), tuple(keys)) if 1 <= count <= len(keys) <= MAX_SIGNATURES:
            return Needed(words, count, tuple(map(parse_cose_key, keys)))
        case _:
            raise Malformed("a group of keys must be [words, count, [COSE_Key…]]")


def encode_signatures(digest: bytes, signatures: Iterable[PostSignature]) -> bytes:
    """The file that travels back."""
    ordered = sorted(signatures, key=lambda signature: signature.kid)
    rows = [[s.kid, int(s.algorithm), s.signature] for s in ordered]
    return cbor.encode([_SIGNATURES, 1, digest, rows])


def decode_signatures(data: bytes) -> tuple[bytes, tuple[PostSignature, ...]]:
    """(digest of the request, its signatures, unverified). Raises Malformed."""
    match cbor.decode(data):
        case (str(label), 1, bytes(digest), tuple(rows)) if label == _SIGNATURES:
            return digest, tuple(map(_read_signature, rows))
        case _:
            raise Malformed("this is no file of `maker sign`")


def _read_signature(value: cbor.Value) -> PostSignature:
    match value:
        case (bytes(kid), int(number), bytes(signature)) if len(kid) == 32:
            try:
                return PostSignature(kid, Algorithm(number), signature)
            except ValueError as error:
                raise Malformed("alg must be -19, -9 or -48") from error
        case _:
            raise Malformed("a signature must be [kid, alg, signature]")
