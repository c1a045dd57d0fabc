# SPDX-License-Identifier: Apache-2.0
"""A post with one signature, taken apart in one pass: most of any log, and all of its load.

Deterministic CBOR gives such an entry one shape (docs/spec/posts.md), so its parts stand between
fixed bytes; "text" and 'bytes' stand behind their heads:

    d2 84 head a4 01 alg 03 "type" 04 'kid' 0f a3 01 "iss" 02 "sub" 03 "aud"
        a0 'payload' 'signature'

What fits this to the last byte, with every length in its one form, says what the decoder would
have found, in a third of its time. Whatever does not fit is left to the decoder, which takes what
is rare and says what is wrong with the rest: here is no second opinion about what a post is.
"""

import re
from typing import Final, NamedTuple

from fieldpost import cbor
from fieldpost.keys import SIGNATURE_BYTES, Algorithm
from fieldpost.records.limits import MAX_NAME

TYPE_PREFIX: Final = "application/vnd.fieldpost."
TYPE_SUFFIX: Final = "+cbor"

# A text ends at the label after it, which is no printable character, and its head is compared
# with its length below. Longer ones than 255 characters wear another head: the decoder's.
_SHAPE: Final = re.compile(
    rb"\xd2\x84(\x58.|\x59..)\xa4\x01([\x32\x28]|\x38\x2f)"
    rb"\x03\x78(.)%b([ -~]{1,%d})%b\x04\x58\x20(.{32})\x0f\xa3"
    rb"\x01([\x61-\x77]|\x78.)([ -~]{1,%d}+)"
    rb"\x02([\x61-\x77]|\x78.)([ -~]{1,255}+)"
    rb"\x03([\x61-\x77]|\x78.)([ -~]{1,255}+)\xa0"
    % (re.escape(TYPE_PREFIX.encode()), MAX_NAME, re.escape(TYPE_SUFFIX.encode()), MAX_NAME),
    re.DOTALL,
)
_AROUND_KIND: Final = TYPE_PREFIX + TYPE_SUFFIX
_TEXT_HEADS: Final = [cbor.encode("-" * size)[: -size or None] for size in range(256)]
_BYTES_HEADS: Final = [cbor.encode(bytes(size))[: -size or None] for size in range(256)]
_SIGNATURES: Final = {
    cbor.encode(int(algorithm)): (algorithm, cbor.encode(bytes(size))[:-size], size)
    for algorithm, size in SIGNATURE_BYTES.items()
}
_CONTEXT: Final = cbor.encode(("Signature1", b"", b"", b""))[:-3]


class Parts(NamedTuple):
    """What a post with one signature says; `message` is what was signed."""

    kind: str
    issuer: str
    subject: str
    audience: str
    payload: bytes
    kid: bytes
    algorithm: Algorithm
    signature: bytes
    message: bytes


def find_parts(entry: bytes) -> Parts | None:
    """The parts of an entry of this shape. None says only that the decoder must look."""
    found = _SHAPE.match(entry)
    if found is None:
        return None
    head, number, type_size, kind, kid, iss_head, iss, sub_head, sub, aud_head, aud = found.groups()
    algorithm, signature_head, size = _SIGNATURES[number]
    start, signed = found.end(), len(entry) - size
    end = signed - len(signature_head)
    payload = start + (1 if end - start <= 24 else 2 if end - start <= 257 else 3)
    if (
        payload > end
        or entry[end:signed] != signature_head
        or entry[start:payload] != _bytes_head(end - payload)
        or head != _bytes_head(start - 3 - len(head))
        or type_size[0] != len(kind) + len(_AROUND_KIND)
        or iss_head != _TEXT_HEADS[len(iss)]
        or sub_head != _TEXT_HEADS[len(sub)]
        or aud_head != _TEXT_HEADS[len(aud)]
    ):
        return None
    return Parts(
        kind.decode(),
        iss.decode(),
        sub.decode(),
        aud.decode(),
        entry[payload:end],
        kid,
        algorithm,
        entry[signed:],
        # Of the same bytes as in the entry: each value has one encoding.
        b"%b%b\x40%b" % (_CONTEXT, entry[2 : start - 1], entry[start:end]),
    )


def _bytes_head(size: int) -> bytes:
    return _BYTES_HEADS[size] if size < 256 else b"\x59" + size.to_bytes(2, "big")
