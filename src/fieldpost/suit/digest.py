# SPDX-License-Identifier: Apache-2.0
"""SUIT_Digest = [-16, 32 bytes of SHA-256] (draft-ietf-suit-manifest-37 §8.3).

What is hashed of a manifest or a severed element is its *wrapped* form: the byte string with its
CBOR head. Images are hashed as they are.
"""

from hashlib import sha256
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted

SHA_256: Final = -16


def wrapped_digest(content: bytes) -> bytes:
    """SHA-256 of `content` as a CBOR byte string, head included: 32 bytes."""
    return sha256(cbor.encode(content)).digest()


def suit_digest(digest: bytes) -> tuple[int, bytes]:
    """The SUIT_Digest around 32 bytes of SHA-256."""
    return SHA_256, digest


def read_digest(value: cbor.Value, what: str) -> bytes:
    """The 32 bytes inside a SUIT_Digest.

    Raises Malformed, or Untrusted("unsupported") for another hash algorithm.
    """
    match value:
        case (int(algorithm), bytes(digest)):
            if algorithm != SHA_256:
                raise Untrusted("unsupported", f"{what}: digest algorithm {algorithm}, not SHA-256")
            if len(digest) != 32:
                raise Malformed(f"{what}: a SHA-256 digest of {len(digest)} bytes")
            return digest
        case _:
            raise Malformed(f"{what} must be a SUIT_Digest [algorithm, bytes]")
