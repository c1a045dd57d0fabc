# SPDX-License-Identifier: Apache-2.0
"""Keys of the state map: SHA-256 of the deterministic CBOR array [kind, id…].

A verifier computes the key of what it asks for, and never takes one from a proof. Records that
keys signed and counters that rules write stand under different kinds (docs/spec/state-map.md).
"""

from functools import lru_cache
from hashlib import sha256
from typing import Final

from fieldpost import cbor

# A rule reads about eight records for a post, most of them of a maker who posted before: to
# remember a key is ten times cheaper than to make it again. At most about 5 MB.
_REMEMBERED: Final = 16_384


@lru_cache(_REMEMBERED)
def _key(*parts: str | bytes | int) -> bytes:
    return sha256(cbor.encode(parts)).digest()


# Before the class id, of 16 bytes, and the number: in half of the time to encode the whole array.
_ADVISORY: Final = cbor.encode(("advisory", bytes(16), 0))[:-17]


# --- signed records: the value is the payload of the post that last wrote it ---


def board() -> bytes:
    """The board record."""
    return _key("board")


def maker(maker_id: bytes) -> bytes:
    """A maker record."""
    return _key("maker", maker_id)


def device_class(class_id: bytes) -> bytes:
    """A class record."""
    return _key("class", class_id)


def release(class_id: bytes, sequence: int) -> bytes:
    """A release record."""
    return _key("release", class_id, sequence)


def lot(lot_id: bytes) -> bytes:
    """A lot record."""
    return _key("lot", lot_id)


def summary(class_id: bytes) -> bytes:
    """The last fleet summary of a class."""
    return _key("summary", class_id)


def advisory(class_id: bytes, number: int) -> bytes:
    """An advisory of a class; numbers run from 1 to the class's count of advisories."""
    # Not remembered: one post writes it and few read it, so it would push out what others ask for.
    return sha256(_ADVISORY + class_id + cbor.encode(number)).digest()


def gone(operator: str, digest: bytes) -> bytes:
    """That an operator no longer serves a blob, and why."""
    return _key("gone", operator, digest)


# --- what rules make of them ---


def advisories(class_id: bytes) -> bytes:
    """How many advisories a class has (uint), so that a list of them can be shown to be whole."""
    return _key("advisories", class_id)


def domain_of_maker(maker_id: bytes) -> bytes:
    """[domain, maker epoch, time] that operators attested; [] once another maker took it."""
    return _key("domain-of", maker_id)


def domain(name: str) -> bytes:
    """[maker id, maker epoch] of the domain's holder; [] once the holder took another."""
    return _key("domain", name)


def head(class_id: bytes, channel: str) -> bytes:
    """The head of a channel: the value that check-ins prove."""
    return _key("head", class_id, channel)


def status(lot_id: bytes, page: int) -> bytes:
    """256 bytes of two-bit device statuses: page = ⌊index / 1024⌋."""
    return _key("status", lot_id, page)


def link(record_key: bytes) -> bytes:
    """[epoch, SHA-256 of the entry] of the last link under `record_key` (board, maker, class)."""
    return _key("link", record_key)


def nonce_of_key(thumbprint: bytes) -> bytes:
    """The last nonce used by a key whose role has threshold 1."""
    return _key("nonce", thumbprint)


def nonce_of_role(maker_id: bytes, role: int) -> bytes:
    """The last nonce used by a maker's role whose threshold exceeds 1."""
    return _key("nonce", maker_id, role)


def enrolled_by_key(thumbprint: bytes) -> bytes:
    """How many devices an enrol key enrolled in all (uint)."""
    return _key("enrolled", thumbprint)


def used_key(thumbprint: bytes) -> bytes:
    """[holder, role] of a signing key: it occurs once per board."""
    return _key("key", thumbprint)


def maker_classes(maker_id: bytes) -> bytes:
    """The sorted class ids of a maker."""
    return _key("classes", maker_id)


def class_counters(class_id: bytes) -> bytes:
    """Newest sequence, floor and enrolled devices of a class."""
    return _key("class-counters", class_id)


def release_counters(class_id: bytes, sequence: int) -> bytes:
    """Salt, highest threshold per channel and withdrawal of a release."""
    return _key("release-counters", class_id, sequence)


def manifest(class_id: bytes, digest: bytes) -> bytes:
    """The sequence of the class's release that a SUIT manifest digest names.

    Under the class, so that nobody blocks another maker's digest by posting it first.
    """
    return _key("manifest", class_id, digest)


def release_blocks(class_id: bytes, sequence: int) -> bytes:
    """[[kid, algorithm, signature]…] that `release.sign` added to a release's manifest."""
    return _key("blocks", class_id, sequence)


def quota(holder: str, role: int) -> bytes:
    """[UTC day, posts, bytes] of a maker (id in hex) in a role, or of an operator (name) in 0."""
    return _key("quota", holder, role)


def reserve(holder: str, role: int) -> bytes:
    """[UTC day, posts, bytes] of what must stay possible when the quota is used up."""
    return _key("reserve", holder, role)


def registrations(kind: int) -> bytes:
    """[UTC day, posts, bytes] of makers that the board admitted: 0 unendorsed, 1 endorsed."""
    return _key("registrations", kind)


def witness_key(thumbprint: bytes) -> bytes:
    """The name of a witness that a board record named once: never an operator's key."""
    return _key("witness", thumbprint)
