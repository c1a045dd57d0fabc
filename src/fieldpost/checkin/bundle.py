# SPDX-License-Identifier: Apache-2.0
"""The bundle v1: one map key's value, or its absence, up to a cosigned checkpoint.

    [1, value | null, map path, state leaf, [edge hash…], [[key id, timestamp, signature]…]]

Value and state leaf are byte strings that are hashed unparsed. Roots are left out: the verifier
recomputes them and the signatures judge. Decoding believes nothing (docs/spec/check-in.md).
"""

import struct
from dataclasses import dataclass
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records import limits
from fieldpost.tlog.cosignature import Cosignature
from fieldpost.tlog.hashing import HASH_BYTES, Hash

VERSION: Final = 1

_BEGIN: Final = b"\x86\x01"
_NULL: Final = b"\xf6"
_COSIGNATURE_HEAD: Final = b"\x83"
_HASH_HEAD: Final = b"\x58\x20"
_HASH_ITEM: Final = struct.Struct(f"2x{HASH_BYTES}s")
# A set asks for all of an edge at once, four times as fast as a loop.
_HASH_LENGTH: Final = frozenset({HASH_BYTES})
# An Ed25519 cosignature made between 1970-01-02 and 2106: every number of it has its place, so it
# is cut in one go, four times as fast as item by item.
_USUAL: Final = struct.Struct(">2s4sBL2s64s")
_USUAL_HEADS: Final = (b"\x83\x44", 0x1A, b"\x58\x40")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A proof, unverified. `value` None = the key is absent; `edge` runs from leaf to root.

    Raises Malformed for more than 62 edge hashes or 16 cosignatures.
    """

    value: bytes | None
    path: bytes
    state_leaf: bytes
    edge: tuple[Hash, ...]
    cosignatures: tuple[Cosignature, ...]

    def __post_init__(self) -> None:
        if len(self.edge) > limits.MAX_EDGE_HASHES:
            raise Malformed(f"a bundle has at most {limits.MAX_EDGE_HASHES} edge hashes")
        if not _HASH_LENGTH.issuperset(map(len, self.edge)):
            raise Malformed("an edge hash must have 32 bytes")
        if len(self.cosignatures) > limits.MAX_COSIGNATURES:
            raise Malformed(f"a bundle has at most {limits.MAX_COSIGNATURES} cosignatures")


def encode_bundle(bundle: Bundle) -> bytes:
    """Deterministic CBOR: what a board answers to a check-in."""
    return cbor.encode(
        [
            VERSION,
            bundle.value,
            bundle.path,
            bundle.state_leaf,
            list(bundle.edge),
            [[c.key_id, c.timestamp, c.signature] for c in bundle.cosignatures],
        ]
    )


def decode_bundle(data: bytes, *, most_bytes: int) -> Bundle:
    """Read a bundle of at most `most_bytes`. Raises Malformed."""
    if len(data) > most_bytes:
        raise Malformed(f"a bundle of {len(data)} bytes; at most {most_bytes}")
    # The one form, read as it stands: a device does this at every check-in, and to build what
    # `cbor.decode` gives and to take that apart again took twice as long.
    if not data.startswith(_BEGIN):
        raise Malformed("not a check-in bundle of version 1")
    at = len(_BEGIN)
    value: bytes | None = None
    if data[at : at + 1] == _NULL:
        at += 1
    else:
        value, at = _read_octets(data, at)
    path, at = _read_octets(data, at)
    state_leaf, at = _read_octets(data, at)
    edge, at = _read_edge(data, at)
    cosignatures, at = _read_cosignatures(data, at)
    # Whatever seemed to reach beyond the end was cut off there.
    if at != len(data):
        raise Malformed("a bundle is cut off, or something stands behind it")
    return Bundle(
        value=value, path=path, state_leaf=state_leaf, edge=edge, cosignatures=cosignatures
    )


def _read_octets(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = cbor.read_head(data, at, 2)
    end = at + size
    return data[at:end], end


def _read_edge(data: bytes, at: int) -> tuple[tuple[Hash, ...], int]:
    count, at = cbor.read_head(data, at, 4)
    end = at + count * _HASH_ITEM.size
    if count > limits.MAX_EDGE_HASHES or end > len(data):
        raise Malformed(f"an edge has at most {limits.MAX_EDGE_HASHES} hashes, and no fewer bytes")
    # All of equal length, so their heads stand at equal distances: compared at once, cut at once.
    heads = data[at : end : _HASH_ITEM.size], data[at + 1 : end : _HASH_ITEM.size]
    if heads != (_HASH_HEAD[:1] * count, _HASH_HEAD[1:] * count):
        raise Malformed("an edge hash must be a byte string of 32 bytes")
    return struct.unpack_from(_HASH_ITEM.format * count, data, at), end


def _read_cosignatures(data: bytes, at: int) -> tuple[tuple[Cosignature, ...], int]:
    count, at = cbor.read_head(data, at, 4)
    if count > limits.MAX_COSIGNATURES:
        raise Malformed(f"a bundle has at most {limits.MAX_COSIGNATURES} cosignatures")
    # Those of the usual form, which nearly always are all; from the first other one, one by one.
    found: list[Cosignature] = []
    whole = len(data) - (len(data) - at) % _USUAL.size
    for heads, key_id, width, timestamp, head, signature in _USUAL.iter_unpack(data[at:whole]):
        if (heads, width, head) != _USUAL_HEADS or timestamp <= 0xFFFF or len(found) == count:
            break
        found.append(Cosignature(key_id, timestamp, signature))
    at += len(found) * _USUAL.size
    while len(found) < count:
        cosignature, at = _read_cosignature(data, at)
        found.append(cosignature)
    return tuple(found), at


def _read_cosignature(data: bytes, at: int) -> tuple[Cosignature, int]:
    if data[at : at + 1] != _COSIGNATURE_HEAD:
        raise Malformed("a cosignature must be [key id, timestamp, signature]")
    key_id, at = _read_octets(data, at + 1)
    timestamp, at = cbor.read_head(data, at, 0)
    signature, at = _read_octets(data, at)
    return Cosignature(key_id, timestamp, signature), at
