# SPDX-License-Identifier: Apache-2.0
"""Enrolment requests: a device proves that it holds the key in its leaf (docs/spec/identity.md).

    18([<< {1: alg, 3: "application/vnd.fieldpost.enrolment+cbor", 4: kid} >>, {},
        << leaf >>, signature])

Whoever makes the lot collects these, so that no lot names a key that nobody, or somebody else,
holds. Serial and class are signed by the device too. The content type keeps the signature apart
from those of reports. A request is public and may be replayed: it says the same again.
"""

from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.identity.leaf import DeviceLeaf, decode_leaf
from fieldpost.keys import PublicKey, Signer, check_key, verify_signature

CONTENT_TYPE: Final = "application/vnd.fieldpost.enrolment+cbor"
MAX_REQUEST_BYTES: Final = 1_024


def _header(key: PublicKey) -> bytes:
    return cbor.encode({1: int(key.algorithm), 3: CONTENT_TYPE, 4: key.thumbprint()})


def encode_request(leaf: DeviceLeaf, signer: Signer) -> bytes:
    """The request of the device whose key `signer` holds.

    Raises Malformed if the leaf names another key, and what the signer raises.
    """
    if signer.public_key != leaf.key:
        raise Malformed("the leaf names another key than the signer holds")
    protected, payload = _header(leaf.key), leaf.encode()
    signature = signer.sign(cbor.encode(["Signature1", protected, b"", payload]))
    return cbor.encode(cbor.Tag(18, (protected, {}, payload, signature)))


def verify_request(data: bytes) -> DeviceLeaf:
    """The leaf of a device that proved possession of its key, the key checked as §9 demands.

    Raises Malformed, Untrusted("bad-signature").
    """
    if len(data) > MAX_REQUEST_BYTES:
        raise Malformed(f"an enrolment request of {len(data)} bytes; at most {MAX_REQUEST_BYTES}")
    match cbor.decode(data):
        case cbor.Tag(18, (bytes(protected), dict(unprotected), bytes(payload), bytes(signature))):
            leaf = decode_leaf(payload)
        case _:
            raise Malformed("an enrolment request is a COSE_Sign1 (tag 18)")
    if unprotected:
        raise Malformed("the unprotected header must be empty")
    if protected != _header(leaf.key):
        raise Untrusted("bad-signature", "the header does not name the key in the leaf")
    check_key(leaf.key)
    verify_signature(leaf.key, cbor.encode(["Signature1", protected, b"", payload]), signature)
    return leaf
