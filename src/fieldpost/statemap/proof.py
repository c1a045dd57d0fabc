# SPDX-License-Identifier: Apache-2.0
"""Proofs against the root of a state map: what a device checks, in one pass, without a tree.

    inclusion  path                                       for a value
    absence    "" in an empty map, else
               uvarint(len) ‖ other key ‖ uvarint(len) ‖ other value ‖ path
    path       (uvarint(bit) ‖ 32-byte sibling)*          deepest first, bits strictly decreasing

The side that a sibling stands on is the key's own bit. Absence is shown by another leaf that the
walk for the key ends at: its key agrees with the absent one in every listed bit, and differs.
A walk has one end, so no two values of one key verify against one root, even in a malformed tree.

Limits: bits are strictly decreasing below 256, so a path has at most 256 steps (8,576 bytes).
A real map of SHA-256 keys needs about log2(n) + 5. Length limits of values are the caller's.
"""

from hashlib import sha256
from struct import Struct

from fieldpost.errors import Malformed, Untrusted
from fieldpost.statemap.hashing import (
    EMPTY_ROOT,
    HASH_BYTES,
    INNER_PREFIX,
    KEY_BITS,
    KEY_BYTES,
    encode_leaf,
    leaf_hash,
)

# A uvarint of at most three bytes holds every length that a post of 65,535 bytes can carry.
_MAX_UVARINT_BYTES = 3
_SHORT_STEP = Struct(f"B{HASH_BYTES}s")


def root_from_proof(key: bytes, value: bytes | None, path: bytes) -> bytes:
    """The 32-byte root under which `path` proves that `key` has `value`, or (None) is absent.

    Raises Malformed for a path that proves nothing under any root. Whether the root is one to
    believe is the caller's question (docs/spec/state-map.md §3).
    """
    if len(key) != KEY_BYTES:
        raise Malformed(f"state map: a key of {len(key)} bytes")
    if value is not None:
        return _climb(key, leaf_hash(encode_leaf(key, value)), path, 0, key)
    if not path:
        return EMPTY_ROOT
    other_key, at = _read_chunk(path, 0)
    if len(other_key) != KEY_BYTES or other_key == key:
        raise Malformed("state map: the other leaf of an absence proof has no fitting key")
    other_value, at = _read_chunk(path, at)
    return _climb(key, leaf_hash(encode_leaf(other_key, other_value)), path, at, other_key)


def verify_proof(*, root: bytes, key: bytes, value: bytes | None, path: bytes) -> None:
    """Check that under `root` the `key` has `value`, or (None) is absent. Returns nothing.

    Raises Untrusted("bad-proof") when it does not, malformed paths included.
    """
    try:
        shown = root_from_proof(key, value, path)
    except Malformed as error:
        raise Untrusted("bad-proof", str(error)) from error
    if shown != root:
        raise Untrusted("bad-proof", "the proof leads to another state root")


def _climb(key: bytes, node: bytes, path: bytes, at: int, end_key: bytes) -> bytes:
    """Hash from a leaf up to the root; `end_key` must take every turn that `key` takes."""
    steps = _steps(path, at)
    turns = f"{int.from_bytes(key, 'big'):0{KEY_BITS}b}"
    below = KEY_BITS
    for bit, sibling in steps:
        if bit >= below:
            raise Malformed("state map: the bits of a path must decrease from below 256")
        below = bit
        if turns[bit] == "1":
            node = sha256(INNER_PREFIX[bit] + sibling + node).digest()
        else:
            node = sha256(INNER_PREFIX[bit] + node + sibling).digest()
    if end_key != key:
        ends = f"{int.from_bytes(end_key, 'big'):0{KEY_BITS}b}"
        if any(turns[bit] != ends[bit] for bit, _ in steps):
            raise Malformed("state map: the other leaf is not where the key would be")
    return node


def _steps(path: bytes, at: int) -> list[tuple[int, bytes]]:
    """The bits and siblings of a path. Raises Malformed for one that is cut off."""
    steps: list[tuple[int, bytes]] = []
    while at < len(path) and path[at] >= 0x80:
        bit, at = _read_uvarint(path, at)
        steps.append((bit, path[at : at + HASH_BYTES]))
        at += HASH_BYTES
    # Bits decrease, so behind the first below 128 all take one byte: cut in one go, a third faster
    # than one by one. Paths of hashed keys have no others.
    if at > len(path) or (len(path) - at) % _SHORT_STEP.size:
        raise Malformed("state map: the path is cut off")
    steps += _SHORT_STEP.iter_unpack(path[at:])
    return steps


def _read_uvarint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 7 * _MAX_UVARINT_BYTES, 7):
        if at >= len(data):
            raise Malformed("state map: the path is cut off")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise Malformed("state map: an integer is not in its shortest form")
            return number, at
    raise Malformed("state map: an integer is too large")


def _read_chunk(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _read_uvarint(data, at)
    end = at + length
    if end > len(data):
        raise Malformed("state map: the path is cut off")
    return data[at:end], end
