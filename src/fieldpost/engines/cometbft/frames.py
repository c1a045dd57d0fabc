# SPDX-License-Identifier: Apache-2.0
"""How messages follow each other on an ABCI socket: an unsigned varint of the length, the bytes."""

from typing import BinaryIO, Final

from fieldpost.errors import Malformed

# A block of 2 MB with all that CometBFT says of it is far below; its own bound is 2 GB.
MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
_MOST_LENGTH_BYTES: Final = 5


def write_frame(stream: BinaryIO, message: bytes) -> None:
    """Write one message; the caller flushes."""
    left = len(message)
    head = bytearray()
    while left > 0x7F:
        head.append(left & 0x7F | 0x80)
        left >>= 7
    head.append(left)
    stream.write(bytes(head) + message)


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next message; None where the stream ends before it begins.

    Raises Malformed for one that is too long, or cut off.
    """
    length = shift = 0
    for count in range(_MOST_LENGTH_BYTES):
        octet = stream.read(1)
        if not octet:
            if count:
                raise Malformed("the stream ends within a length")
            return None
        length |= (octet[0] & 0x7F) << shift
        shift += 7
        if octet[0] < 0x80:
            break
    else:
        raise Malformed(f"a length of more than {_MOST_LENGTH_BYTES} bytes")
    if length > MAX_MESSAGE_BYTES:
        raise Malformed(f"a message of {length} bytes; at most {MAX_MESSAGE_BYTES}")
    message = stream.read(length)
    if len(message) != length:
        raise Malformed("the stream ends within a message")
    return message
