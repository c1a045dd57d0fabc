# SPDX-License-Identifier: Apache-2.0
"""Ids that nobody can squat, because each is computed from what it names (docs/spec/records.md).

board id   origin ‖ "#" ‖ lower-case hex of the first 16 bytes of the genesis leaf hash
maker id   first 16 bytes of SHA-256(CBOR ["fieldpost/maker", [COSE_Key…], threshold])
vendor id  UUIDv5(UUIDv5(DNS, "fieldpost"), maker id in hex)
class id   UUIDv5(vendor id, class name)
lot id     first 16 bytes of SHA-256(CBOR ["fieldpost/lot", maker id, class id, count, root])
"""

import re
import uuid
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.keys import PublicKey
from fieldpost.records.limits import MAX_DOMAIN, MAX_NAME, MAX_ORIGIN

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "fieldpost")
_ORIGIN: Final = re.compile(r"[a-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._-]+)*/[1-9][0-9]{0,8}")
_CLASS_NAME: Final = re.compile(r"[A-Za-z0-9._-]+(?::[A-Za-z0-9._-]+){0,2}")
_CHANNEL: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_DOMAIN: Final = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_BOARD_ID: Final = re.compile(r"([^#]+)#([0-9a-f]{32})")


def check_origin(origin: str) -> str:
    """A schemeless URL that ends in a shard number, e.g. `board.example/1`. Raises Malformed."""
    if len(origin) > MAX_ORIGIN or not _ORIGIN.fullmatch(origin):
        raise Malformed(f"{origin!r} is no origin; write host/shard, for example board.example/1")
    return origin


def board_id(origin: str, genesis_leaf_hash: bytes) -> str:
    """The id that every post of a board carries as `aud`."""
    return f"{origin}#{genesis_leaf_hash[:16].hex()}"


@lru_cache(maxsize=64)
def origin_of(board: str) -> str:
    """The origin inside a board id. Raises Malformed.

    Kept, since a device looks for its board's at every check-in.
    """
    match = _BOARD_ID.fullmatch(board)
    if match is None:
        raise Malformed(f"{board!r} is no board id (origin#32 hex digits)")
    return check_origin(match[1])


def maker_id(root_keys: Sequence[PublicKey], threshold: int) -> bytes:
    """16 bytes that the initial root keys and threshold determine, the same on every board."""
    keys = [key.cose_key() for key in sorted(root_keys, key=PublicKey.thumbprint)]
    return sha256(cbor.encode(["fieldpost/maker", keys, threshold])).digest()[:16]


def vendor_id(maker: bytes) -> bytes:
    """The SUIT vendor id of a maker: 16 bytes."""
    return uuid.uuid5(_NAMESPACE, maker.hex()).bytes


def class_id(maker: bytes, name: str) -> bytes:
    """The SUIT class id of a maker's class: 16 bytes."""
    return uuid.uuid5(uuid.UUID(bytes=vendor_id(maker)), name).bytes


def lot_id(*, maker: bytes, class_: bytes, count: int, root: bytes) -> bytes:
    """16 bytes that a lot's content determines."""
    return sha256(cbor.encode(["fieldpost/lot", maker, class_, count, root])).digest()[:16]


def check_class_name(name: str) -> str:
    """`model[:revision[:variant]]`, each of letters, digits, dot, dash, underscore."""
    if len(name) > MAX_NAME or not _CLASS_NAME.fullmatch(name):
        raise Malformed(f"{name!r} is no class name; write model[:revision[:variant]]")
    return name


def check_channel(name: str) -> str:
    """1–32 lower-case letters, digits and dashes. Raises Malformed."""
    if not _CHANNEL.fullmatch(name):
        raise Malformed(f"{name!r} is no channel name; use lower-case letters, digits and dashes")
    return name


def check_domain(name: str) -> str:
    """A domain of two labels or more, lower case, at most 253 characters. Raises Malformed."""
    if len(name) > MAX_DOMAIN or not _DOMAIN.fullmatch(name):
        raise Malformed(f"{name!r} is no domain; write it in lower case, as acme.example")
    return name
