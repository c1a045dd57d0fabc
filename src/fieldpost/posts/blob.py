# SPDX-License-Identifier: Apache-2.0
"""`blob.gone`: an operator no longer serves a blob, and why (docs/spec/kinds.md).

{1: nonce, 2: SHA-256 of the blob, 3: reason}
"""

from dataclasses import dataclass

from fieldpost import cbor
from fieldpost.records import limits
from fieldpost.records.fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobGone:
    """The operator in whose name the post is does not serve `digest` any more."""

    nonce: int
    digest: bytes
    reason: str

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the post, and the value in the map."""
        return cbor.encode({1: self.nonce, 2: self.digest, 3: self.reason})


def decode_blob_gone(data: bytes) -> BlobGone:
    """Read the payload of `blob.gone`. Raises Malformed."""
    fields = Fields(cbor.decode(data), "gone blob")
    gone = BlobGone(
        nonce=fields.uint(1, least=1),
        digest=fields.octets(2, length=32),
        reason=fields.text(3, most=limits.MAX_TEXT),
    )
    fields.close()
    return gone
