# SPDX-License-Identifier: Apache-2.0
"""The SUIT envelope of a release: a manifest and who signed it (docs/spec/release.md).

    107({2: << [<< SUIT_Digest >>, << block >>…] >>, 3: << manifest >>})
    block       = 18([<< {1: alg, 4: kid} >>, {}, null, signature])          COSE_Sign1, detached
    SUIT_Digest = [-16, SHA-256 of the manifest as a byte string, head included]

A block signs the bytes of the SUIT_Digest, which name the release: blocks come and go, one per
key, sorted by kid, and the name stays. Readers ignore blocks of keys that they do not know, also
of algorithms that they do not know; how many must sign is the reader's business, never the
envelope's. Source: draft-ietf-suit-manifest-37 §8.2–8.3, RFC 9052 §4.4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import PublicKey, Signer, verify_signature
from fieldpost.suit.digest import read_digest, suit_digest, wrapped_digest
from fieldpost.suit.manifest import Manifest, decode_manifest

ENVELOPE: Final = 107
SIGN1: Final = 18
MAX_BLOCKS: Final = 32


def manifest_digest(manifest: bytes) -> bytes:
    """The 32 bytes that name a release: SHA-256 over the bstr-wrapped manifest."""
    return wrapped_digest(manifest)


def sig_structure(protected: bytes, digest: bytes) -> bytes:
    """What a block signs: COSE's Sig_structure over the SUIT_Digest of `digest` (RFC 9052 §4.4)."""
    payload = cbor.encode(suit_digest(digest))
    return cbor.encode(["Signature1", protected, b"", payload])


@dataclass(frozen=True, slots=True)
class AuthenticationBlock:
    """One signature over a manifest's digest. `kid` is the key's thumbprint, `algorithm` COSE's."""

    kid: bytes
    algorithm: int
    signature: bytes

    def protected(self) -> bytes:
        """The encoded protected header."""
        return cbor.encode({1: self.algorithm, 4: self.kid})

    def encode(self) -> bytes:
        """COSE_Sign1 with a detached payload."""
        return cbor.encode(cbor.Tag(SIGN1, (self.protected(), {}, None, self.signature)))


@dataclass(frozen=True, slots=True)
class Envelope:
    """A manifest with the blocks over it, kept sorted by kid. Nothing here says they are valid.

    Raises Malformed for more than 32 blocks, or two of one key.
    """

    manifest: bytes
    blocks: tuple[AuthenticationBlock, ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.blocks, key=lambda block: block.kid))
        if len(ordered) > MAX_BLOCKS:
            raise Malformed(f"an envelope has at most {MAX_BLOCKS} authentication blocks")
        if any(first.kid == second.kid for first, second in pairwise(ordered)):
            raise Malformed("a key signs an envelope once")
        object.__setattr__(self, "blocks", ordered)

    @property
    def digest(self) -> bytes:
        """The release's name: `manifest_digest` of the manifest."""
        return manifest_digest(self.manifest)

    def encode(self) -> bytes:
        """The envelope's one encoding."""
        digest = cbor.encode(suit_digest(self.digest))
        blocks = cbor.encode([digest, *(block.encode() for block in self.blocks)])
        return cbor.encode(cbor.Tag(ENVELOPE, {2: blocks, 3: self.manifest}))


def sign_manifest(manifest: bytes, signer: Signer) -> AuthenticationBlock:
    """One key's block over an encoded manifest. Raises what the signer raises."""
    key = signer.public_key
    unsigned = AuthenticationBlock(key.thumbprint(), int(key.algorithm), b"")
    message = sig_structure(unsigned.protected(), manifest_digest(manifest))
    return AuthenticationBlock(unsigned.kid, unsigned.algorithm, signer.sign(message))


def decode_envelope(data: bytes) -> Envelope:
    """Read an envelope without judging signatures or the manifest inside.

    Raises Malformed, Untrusted("unsupported") for members that the profile does not admit (such
    as severable elements), Untrusted("wrong-digest") if the digest is another manifest's.
    """
    value = cbor.decode(data)
    if not isinstance(value, cbor.Tag) or value.number != ENVELOPE:
        raise Malformed("a SUIT envelope must wear tag 107")
    members = value.value
    if not isinstance(members, dict):
        raise Malformed("a SUIT envelope must be a map")
    others = [label for label in members if label not in (2, 3)]
    if others:
        raise Untrusted("unsupported", f"envelope: label {others[0]!r} is not in profile 1")
    match members:
        case {2: bytes(wrapper), 3: bytes(manifest)}:
            digest, blocks = _read_wrapper(wrapper)
        case _:
            raise Malformed("a SUIT envelope holds byte strings 2 and 3")
    if digest != manifest_digest(manifest):
        raise Untrusted("wrong-digest", "the envelope's digest is not its manifest's")
    if any(first.kid >= second.kid for first, second in pairwise(blocks)):
        raise Malformed("authentication blocks must be sorted by kid, one per key")
    return Envelope(manifest, blocks)


def _read_wrapper(wrapper: bytes) -> tuple[bytes, tuple[AuthenticationBlock, ...]]:
    match cbor.decode(wrapper):
        case (bytes(digest), *blocks) if len(blocks) <= MAX_BLOCKS:
            named = read_digest(cbor.decode(digest), "the manifest's digest")
            return named, tuple(_read_block(block) for block in blocks)
        case _:
            raise Malformed(f"authentication must be a digest and at most {MAX_BLOCKS} blocks")


def _read_block(value: cbor.Value) -> AuthenticationBlock:
    if not isinstance(value, bytes):
        raise Malformed("an authentication block must be a byte string")
    match cbor.decode(value):
        case cbor.Tag(18, (bytes(protected), dict(unprotected), None, bytes(signature))):
            if unprotected:
                raise Malformed("an authentication block's unprotected header must be empty")
        case cbor.Tag(number, _) if number != SIGN1:
            raise Untrusted("unsupported", f"authentication by COSE tag {number}, not COSE_Sign1")
        case _:
            raise Malformed("an authentication block is a COSE_Sign1 with a detached payload")
    match cbor.decode(protected):
        case {1: int(algorithm), 4: bytes(kid), **rest} if (
            not rest and type(algorithm) is int and len(kid) == 32
        ):
            return AuthenticationBlock(kid, algorithm, signature)
        case _:
            raise Malformed("a block's protected header must be {1: alg, 4: 32-byte kid}")


def verify_envelope(
    data: bytes,
    *,
    keys: Mapping[bytes, PublicKey],
    threshold: int,
    most_bytes: int,
    decrypts: bool = False,
) -> tuple[bytes, Manifest]:
    """The digest and the manifest that at least `threshold` of `keys` (by kid) signed.

    Raises Malformed, Untrusted("unsupported" | "wrong-digest"), Untrusted("bad-signature") if a
    known key's block is not valid, Untrusted("manifest-threshold") if too few known keys signed.
    Nothing of the manifest is read before its signatures hold. `decrypts`: see `decode_manifest`.
    """
    if threshold < 1:
        raise ValueError("a threshold below 1 would accept unsigned manifests")
    if len(data) > most_bytes:
        raise Malformed(f"an envelope of {len(data)} bytes; at most {most_bytes}")
    envelope = decode_envelope(data)
    known = [(keys[block.kid], block) for block in envelope.blocks if block.kid in keys]
    for key, block in known:
        if block.algorithm != key.algorithm:
            raise Untrusted("bad-signature", "a block names another algorithm than its key's")
        message = sig_structure(block.protected(), envelope.digest)
        verify_signature(key, message, block.signature)
    if len(known) < threshold:
        raise Untrusted("manifest-threshold", f"{len(known)} known keys signed, not {threshold}")
    return envelope.digest, decode_manifest(envelope.manifest, decrypts=decrypts)
