# SPDX-License-Identifier: Apache-2.0
"""The bundle v1: one map key's value, or its absence, up to a cosigned checkpoint.

    [1, value | null, map path, state leaf, [edge hash…], [[key id, timestamp, signature]…]]

Value and state leaf are byte strings that are hashed unparsed. Roots are left out: the verifier
recomputes them and the signatures judge. Decoding believes nothing (docs/spec/check-in.md).
"""

from dataclasses import dataclass
from typing import Any, Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records import limits
from fieldpost.tlog.cosignature import Cosignature
from fieldpost.tlog.hashing import HASH_BYTES, Hash

VERSION: Final = 1

# A set asks for all of an edge at once, four times as fast as a loop.
_HASH_LENGTH: Final = frozenset({HASH_BYTES})
_OCTETS: Final = frozenset({bytes})


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
    match cbor.decode(data):
        case (
            int(version),
            (None | bytes()) as value,
            bytes(path),
            bytes(state_leaf),
            tuple(edge),
            tuple(cosignatures),
        ) if type(version) is int and version == VERSION:
            if not _OCTETS.issuperset(map(type, edge)):
                raise Malformed("an edge hash must be a byte string")
            hashes: Any = edge
            return Bundle(
                value=value,
                path=path,
                state_leaf=state_leaf,
                edge=hashes,
                cosignatures=tuple(map(_read_cosignature, cosignatures)),
            )
        case _:
            raise Malformed("not a check-in bundle of version 1")


def _read_cosignature(value: cbor.Value) -> Cosignature:
    # By name, since true is an int to isinstance and to a match.
    if not isinstance(value, tuple) or tuple(map(type, value)) != (bytes, int, bytes):
        raise Malformed("a cosignature must be [key id, timestamp, signature]")
    parts: Any = value
    return Cosignature(*parts)
