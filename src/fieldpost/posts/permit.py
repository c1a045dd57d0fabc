# SPDX-License-Identifier: Apache-2.0
"""The upload permit: a maker says that whoever shows this may send one blob (docs/spec/http.md).

    {1: SHA-256 of the blob, 2: its size in bytes, 3: not after, in Unix seconds}

Signed by one release key as kind `upload`, in the envelope of posts, and never on the board. It is
shown as a bearer token (RFC 6750). Nobody else can then send bytes in a maker's name, so nobody can
delay an upload with garbage or use up the room that a maker has.
"""

from dataclasses import dataclass
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import PublicKey, Signer, verify_signature
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post, Statement, decode_post, sign_post
from fieldpost.records.fields import Fields
from fieldpost.records.limits import MAX_IMAGE_BYTES

KIND: Final = "upload"
MAX_PERMIT_BYTES: Final = 4_096
MAX_PERMIT_S: Final = 2 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What may be sent: the blob with this SHA-256, of `size` bytes, until `not_after`."""

    digest: bytes
    size: int
    not_after: int

    def encode(self) -> bytes:
        """Deterministic CBOR: the signed payload."""
        return cbor.encode({1: self.digest, 2: self.size, 3: self.not_after})


@dataclass(frozen=True, slots=True)
class SignedPermit:
    """A permit as it was shown, with the maker that it names. Nothing here says who signed it."""

    permit: Permit
    maker: bytes
    board: str
    post: Post

    @property
    def kid(self) -> bytes:
        """The thumbprint of the key that is said to have signed it."""
        return self.post.signatures[0].kid


def sign_permit(permit: Permit, *, maker: bytes, board: str, signer: Signer) -> bytes:
    """The permit of a maker for one board, by one of its release keys."""
    statement = Statement(
        kind=KIND,
        issuer=maker.hex(),
        subject=subjects.of_blob(permit.digest),
        audience=board,
        payload=permit.encode(),
    )
    return sign_post(statement, [signer]).encode()


def decode_permit(data: bytes) -> SignedPermit:
    """Read a permit; judges no signature. Raises Malformed."""
    if len(data) > MAX_PERMIT_BYTES:
        raise Malformed(f"a permit of {len(data)} bytes; at most {MAX_PERMIT_BYTES}")
    post = decode_post(data)
    statement = post.statement
    if statement.kind != KIND or len(post.signatures) != 1:
        raise Malformed("a permit is of kind `upload`, signed by one key")
    fields = Fields(cbor.decode(statement.payload), "permit")
    permit = Permit(
        digest=fields.octets(1, length=32),
        size=fields.uint(2, most=MAX_IMAGE_BYTES),
        not_after=fields.uint(3),
    )
    fields.close()
    try:
        maker = bytes.fromhex(statement.issuer)
    except ValueError:
        maker = b""
    if maker.hex() != statement.issuer or len(maker) != 16:
        raise Malformed("a permit's iss is a maker id")
    if statement.subject != subjects.of_blob(permit.digest):
        raise Malformed("a permit's sub is the digest of its blob")
    return SignedPermit(permit, maker, statement.audience, post)


def verify_permit(
    shown: SignedPermit, key: PublicKey | None, *, digest: bytes, board: str, now: int
) -> Permit:
    """The permit, if it is for this blob and board, not over, and signed by `key`.

    `key` is the maker's release key with the permit's `kid`, None where it has none. `now` in Unix
    seconds. Raises Untrusted("wrong-board" | "wrong-digest" | "permit-over" | "unknown-key" |
    "bad-signature").
    """
    permit = shown.permit
    if shown.board != board:
        raise Untrusted("wrong-board", f"the permit is for the board {shown.board}")
    if permit.digest != digest:
        raise Untrusted("wrong-digest", "the permit is for another blob")
    if not now <= permit.not_after <= now + MAX_PERMIT_S:
        raise Untrusted(
            "permit-over",
            f"the permit ends at {permit.not_after}, and here it is {now}; "
            "make a new one, and look at your clock",
        )
    signature = shown.post.signatures[0]
    if key is None or key.algorithm is not signature.algorithm:
        raise Untrusted("unknown-key", "the key is no release key of this maker")
    verify_signature(key, shown.post.signed_bytes(signature), signature.signature)
    return permit
