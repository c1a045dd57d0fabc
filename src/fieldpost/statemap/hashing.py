# SPDX-License-Identifier: Apache-2.0
"""What the state map hashes (docs/spec/state-map.md; the encoding of torchwood's `mpt`).

    empty  SHA-256("")
    leaf   SHA-256(00 ‖ uvarint(len key) ‖ key ‖ uvarint(len value) ‖ value)
    inner  SHA-256(01 ‖ uvarint(bit) ‖ left ‖ right)

Keys are always 32 bytes. `bit` is the first position in which the keys of the two sides differ;
position 0 is the most significant bit of byte 0. Left holds the keys with 0 there.
"""

from hashlib import sha256
from typing import Final

KEY_BYTES: Final = 32
KEY_BITS: Final = 8 * KEY_BYTES
HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()


def encode_uvarint(number: int) -> bytes:
    """An unsigned LEB128 integer in its shortest form: 7 bits a byte, low ones first."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


# Every bit position, encoded once: proofs and inner hashes need one at each level.
BIT_PREFIX: Final = tuple(encode_uvarint(bit) for bit in range(KEY_BITS))
INNER_PREFIX: Final = tuple(b"\x01" + prefix for prefix in BIT_PREFIX)
_LEAF_PREFIX: Final = b"\x00" + encode_uvarint(KEY_BYTES)
_KEY_AT: Final = len(_LEAF_PREFIX)
_KEY_END: Final = _KEY_AT + KEY_BYTES


def encode_leaf(key: bytes, value: bytes) -> bytes:
    """The bytes that are hashed for one key (32 bytes) with its value."""
    return _LEAF_PREFIX + key + encode_uvarint(len(value)) + value


def leaf_key(leaf: bytes) -> bytes:
    """The key in an encoded leaf."""
    return leaf[_KEY_AT:_KEY_END]


def leaf_value(leaf: bytes) -> bytes:
    """The value in an encoded leaf."""
    at = _KEY_END
    while leaf[at] >= 0x80:
        at += 1
    return leaf[at + 1 :]


def leaf_hash(leaf: bytes) -> bytes:
    """The 32-byte hash of an encoded leaf."""
    return sha256(leaf).digest()
