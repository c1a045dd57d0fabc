# SPDX-License-Identifier: Apache-2.0
"""What is to be signed, carried to another machine, and the signatures carried back. Pure.

    request    = ["fieldpost/unsigned", 1, [kind, iss, sub, aud, payload] | null, alone,
                  [[words, count, [COSE_Key…]]…], previous | null, manifest | null]
    signatures = ["fieldpost/signatures", 1, SHA-256 of the request,
                  [[kid, alg, signature of the post | null, of the manifest | null]…]]

A request says which keys must sign: at least `count` of each group. `alone` is whether the post
will carry one signature (RFC 9052 signs other bytes then). `previous` is the entry of the link that
a link replaces: the statement names its digest, so whoever signs sees what changes. `manifest` is a
release manifest that the same keys sign too, each in a block of its own (docs/spec/release.md).
Nothing in either file is secret, and neither is believed without looking at it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm, PublicKey, Signer, parse_cose_key, verify_signature
from fieldpost.posts.envelope import Post, PostSignature, Statement, sign_statement
from fieldpost.records.limits import MAX_ENVELOPE_BYTES, MAX_SIGNATURES
from fieldpost.suit.envelope import (
    AuthenticationBlock,
    manifest_digest,
    sig_structure,
    sign_manifest,
)

_REQUEST = "fieldpost/unsigned"
_SIGNATURES = "fieldpost/signatures"


@dataclass(frozen=True, slots=True)
class Signed:
    """What one key signed: the post, the manifest, or both."""

    kid: bytes
    algorithm: Algorithm
    post: bytes | None
    manifest: bytes | None

    @property
    def block(self) -> AuthenticationBlock | None:
        """The signature over the manifest, as an envelope has it."""
        if self.manifest is None:
            return None
        return AuthenticationBlock(self.kid, int(self.algorithm), self.manifest)


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
    """A statement, a manifest, or both, and who must sign."""

    statement: Statement | None
    needed: tuple[Needed, ...]
    alone: bool
    previous: bytes | None = None
    manifest: bytes | None = None

    @property
    def keys(self) -> dict[bytes, PublicKey]:
        """Every key that may sign, by thumbprint."""
        return {key.thumbprint(): key for group in self.needed for key in group.keys}

    @property
    def digest(self) -> bytes:
        """The name of the request."""
        return sha256(self.encode()).digest()

    @property
    def title(self) -> dict[str, object]:
        """What it is about, in two words."""
        if self.statement is None:
            return {"kind": "manifest", "about": manifest_digest(self.manifest or b"").hex()}
        return {"kind": self.statement.kind, "about": self.statement.subject}

    def encode(self) -> bytes:
        """Deterministic CBOR: the file that travels."""
        post = self.statement
        return cbor.encode(
            [
                _REQUEST,
                1,
                post and [post.kind, post.issuer, post.subject, post.audience, post.payload],
                self.alone,
                [[n.words, n.count, [key.cose_key() for key in n.keys]] for n in self.needed],
                self.previous,
                self.manifest,
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

    def sign(self, signer: Signer) -> Signed:
        """What one key says to it. Raises Untrusted for a key that may not sign."""
        key = signer.public_key
        if key.thumbprint() not in self.keys:
            raise Untrusted("unknown-key", "the key is none of those that this post needs")
        post = block = None
        if self.statement is not None:
            post = sign_statement(self.statement, signer, alone=self.alone).signature
        if self.manifest is not None:
            block = sign_manifest(self.manifest, signer).signature
        return Signed(key.thumbprint(), key.algorithm, post, block)

    def verify(self, signed: Signed) -> Signed:
        """`signed`, if it is all that a needed key must say. Raises Untrusted."""
        key = self.keys.get(signed.kid)
        if key is None or key.algorithm is not signed.algorithm:
            raise Untrusted("unknown-key", f"{signed.kid.hex()} is no key that this post needs")
        wanted = (self.statement is not None, self.manifest is not None)
        if wanted != (signed.post is not None, signed.manifest is not None):
            raise Untrusted("bad-signature", f"{signed.kid.hex()} signed something else")
        if self.statement is not None and signed.post is not None:
            message = self.statement.signed_bytes(key.algorithm, signed.kid, alone=self.alone)
            verify_signature(key, message, signed.post)
        block = signed.block
        if self.manifest is not None and block is not None:
            message = sig_structure(block.protected(), manifest_digest(self.manifest))
            verify_signature(key, message, block.signature)
        return signed

    def assemble(self, signed: Iterable[Signed]) -> Post:
        """The post. Raises Malformed if signatures are missing."""
        by_kid = {
            one.kid: PostSignature(one.kid, one.algorithm, one.post)
            for one in signed
            if one.post is not None
        }
        missing = self.lacks(by_kid)
        if missing or self.statement is None:
            raise Malformed(f"signatures are missing: {'; '.join(missing) or 'of any post'}")
        chosen = [by_kid[kid] for kid in sorted(by_kid)]
        return Post(self.statement, tuple(chosen[:1] if self.alone else chosen))


def request_of(
    statement: Statement | None,
    needed: Sequence[Needed],
    *,
    previous: bytes | None = None,
    manifest: bytes | None = None,
) -> Request:
    """A request. Where one key satisfies every group, the post will carry just its signature."""
    shared = set(needed[0].keys).intersection(*(group.keys for group in needed))
    alone = all(group.count == 1 for group in needed) and bool(shared)
    if alone:
        keys = tuple(key for key in needed[0].keys if key in shared)
        needed = [Needed(needed[0].words, 1, keys)]
    return Request(statement, tuple(needed), alone, previous, manifest)


def decode_request(data: bytes) -> Request:
    """Read a request. Raises Malformed."""
    match cbor.decode(data):
        case (
            str(label),
            1,
            (None | tuple()) as statement,
            bool(alone),
            tuple(needed),
            (None | bytes()) as previous,
            (None | bytes()) as manifest,
        ) if label == _REQUEST and needed and (statement or manifest):
            if manifest is not None and len(manifest) > MAX_ENVELOPE_BYTES:
                raise Malformed(f"a manifest of {len(manifest)} bytes")
            return Request(
                None if statement is None else _read_statement(statement),
                tuple(map(_read_needed, needed)),
                alone,
                previous,
                manifest,
            )
        case _:
            raise Malformed("this is no file of `--export-unsigned`")


def _read_statement(value: cbor.Value) -> Statement:
    match value:
        case (str(kind), str(issuer), str(subject), str(audience), bytes(payload)):
            return Statement(
                kind=kind, issuer=issuer, subject=subject, audience=audience, payload=payload
            )
        case _:
            raise Malformed("a statement must be [kind, iss, sub, aud, payload]")


def _read_needed(value: cbor.Value) -> Needed:
    match value:
        case (str(words), int(count), tuple(keys)) if 1 <= count <= len(keys) <= MAX_SIGNATURES:
            return Needed(words, count, tuple(map(parse_cose_key, keys)))
        case _:
            raise Malformed("a group of keys must be [words, count, [COSE_Key…]]")


def encode_signatures(digest: bytes, signed: Iterable[Signed]) -> bytes:
    """The file that travels back."""
    ordered = sorted(signed, key=lambda one: one.kid)
    rows = [[s.kid, int(s.algorithm), s.post, s.manifest] for s in ordered]
    return cbor.encode([_SIGNATURES, 1, digest, rows])


def decode_signatures(data: bytes) -> tuple[bytes, tuple[Signed, ...]]:
    """(digest of the request, its signatures, unverified). Raises Malformed."""
    match cbor.decode(data):
        case (str(label), 1, bytes(digest), tuple(rows)) if label == _SIGNATURES:
            return digest, tuple(map(_read_signed, rows))
        case _:
            raise Malformed("this is no file of `maker sign`")


def _read_signed(value: cbor.Value) -> Signed:
    match value:
        case (
            bytes(kid),
            int(number),
            (None | bytes()) as post,
            (None | bytes()) as manifest,
        ) if len(kid) == 32:
            try:
                return Signed(kid, Algorithm(number), post, manifest)
            except ValueError as error:
                raise Malformed("alg must be -19, -9 or -48") from error
        case _:
            raise Malformed("a signature must be [kid, alg, of the post, of the manifest]")
