# SPDX-License-Identifier: Apache-2.0
"""All leaves of a lot as one CBOR array of byte strings, read in pieces of any size.

A lot of a million leaves is 160 MB, and strangers may send one; whoever reads it here holds one
piece of it at a time. Accepts what `cbor.decode_byte_strings` accepts for leaves of this length.
"""

from collections.abc import Iterable, Iterator

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.identity.leaf import MAX_LEAF_BYTES

_LONG = 0x58
_LEAST_LONG = 24


def most_leaves_bytes(count: int) -> int:
    """The bytes that the array of `count` leaves has at most."""
    return len(_array_head(count)) + count * (2 + MAX_LEAF_BYTES)


def decode_leaves(pieces: Iterable[bytes], *, count: int) -> Iterator[bytes]:
    """The byte strings of an array of exactly `count`, one after the other, not judged further.

    Raises Malformed, at the place where the array is something else.
    """
    left, head = count, _array_head(count)
    buffer = b""
    for piece in pieces:
        buffer += piece
        if head:
            if len(buffer) < len(head):
                continue
            if not buffer.startswith(head):
                raise Malformed(f"the leaves must be an array of the lot's {count} byte strings")
            buffer, head = buffer[len(head) :], b""
        at = 0
        while left and (found := _next(buffer, at)) is not None:
            start, at = found
            yield buffer[start:at]
            left -= 1
        buffer = buffer[at:]
        if buffer and not left:
            raise Malformed(f"bytes after the lot's {count} leaves")
    if left or head:
        raise Malformed(f"the leaves are cut off: {left} of {count} are missing")


def _next(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the byte string at `at` begins and ends; None if not all of it is here yet."""
    if at >= len(data):
        return None
    length, start = data[at] - 0x40, at + 1
    if data[at] == _LONG:
        if start >= len(data):
            return None
        length, start = data[start], start + 1
        if length < _LEAST_LONG:
            raise Malformed("CBOR: an integer or length is not in its shortest form")
    elif not 0 <= length < _LEAST_LONG:
        raise Malformed("a lot's leaves are byte strings")
    if length > MAX_LEAF_BYTES:
        raise Malformed(f"a device leaf of {length} bytes; it has at most {MAX_LEAF_BYTES}")
    end = start + length
    return (start, end) if end <= len(data) else None


def _array_head(count: int) -> bytes:
    head = bytearray(cbor.encode(count))
    head[0] |= 0x80
    return bytes(head)
