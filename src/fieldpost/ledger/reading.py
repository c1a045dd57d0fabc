# SPDX-License-Identifier: Apache-2.0
"""Records out of the map, and payloads out of posts, as rules need them.

Map values are decoded once and kept: they are immutable and a record is read far more often than
it is written. Payloads are held to their one encoding, so what a device later reads from the map
is exactly what the ledger judged.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

from fieldpost import cbor
from fieldpost.keys import PublicKey
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Reader
from fieldpost.ledger.payloads import P, decode_in_one_form
from fieldpost.posts.envelope import Post
from fieldpost.records import map_keys
from fieldpost.records.board import BoardRecord, decode_board_record
from fieldpost.records.counters import ClassCounters, Link, ReleaseCounters
from fieldpost.records.device_class import ClassRecord, decode_class_record
from fieldpost.records.lot import LotRecord, decode_lot_record
from fieldpost.records.maker import MakerRecord, Role, RoleKey, decode_maker_record
from fieldpost.records.release import ReleaseRecord, decode_release_record

_CACHED: Final = 4_096


def read_payload(post: Post, decode: Callable[[bytes], P]) -> P:
    """The post's payload. Raises Malformed unless it is what the record would encode to."""
    ahead = post.records.get(decode)
    if ahead is not None:
        return cast("P", ahead)
    return decode_in_one_form(post.statement.payload, decode, post.statement.kind)


def check_claims(post: Post, *, issuer: str, subject: str) -> None:
    """Whether the post says it is by `issuer` and about `subject`. Raises Rejected."""
    statement = post.statement
    if statement.issuer != issuer:
        raise refusal(Code.WRONG_ISSUER, f"iss is {statement.issuer}, expected {issuer}")
    if statement.subject != subject:
        raise refusal(Code.WRONG_SUBJECT, f"sub is {statement.subject}, expected {subject}")


# --- records ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """A registered maker: its record, and its keys by thumbprint, in each role and in all.

    `public_keys` are those of `keys` without their scopes.
    """

    id: bytes
    record: MakerRecord
    keys: Mapping[Role, Mapping[bytes, RoleKey]]
    public_keys: Mapping[Role, Mapping[bytes, PublicKey]]
    by_kid: Mapping[bytes, PublicKey]

    def link(self, read: Reader) -> Link:
        """The maker's last link."""
        link = find_link(read, map_keys.maker(self.id))
        assert link is not None  # written together with the record
        return link


_board = lru_cache(maxsize=8)(decode_board_record)
_release = lru_cache(maxsize=_CACHED)(decode_release_record)
_device_class = lru_cache(maxsize=_CACHED)(decode_class_record)
_class_counters = lru_cache(maxsize=_CACHED)(ClassCounters.decode)


@lru_cache(maxsize=_CACHED)
def _maker(maker_id: bytes, value: bytes) -> Maker:
    record = decode_maker_record(value)
    keys = {
        role: {entry.key.thumbprint(): entry for entry in record.keys_of(role).keys}
        for role in Role
    }
    public_keys = {
        role: {kid: entry.key for kid, entry in entries.items()} for role, entries in keys.items()
    }
    by_kid = {kid: key for entries in public_keys.values() for kid, key in entries.items()}
    return Maker(id=maker_id, record=record, keys=keys, public_keys=public_keys, by_kid=by_kid)


def read_board(read: Reader) -> BoardRecord:
    """The board record in force."""
    value = read.value(map_keys.board())
    assert value is not None  # genesis wrote it
    return _board(value)


def read_maker(read: Reader, maker_id: bytes) -> Maker:
    """A registered maker. Raises Rejected(unknown-maker)."""
    value = read.value(map_keys.maker(maker_id))
    if value is None:
        raise refusal(Code.UNKNOWN_MAKER, f"maker {maker_id.hex()} is not registered")
    return _maker(maker_id, value)


def find_class(read: Reader, class_id: bytes) -> ClassRecord | None:
    """A class record, if there is one."""
    value = read.value(map_keys.device_class(class_id))
    return None if value is None else _device_class(value)


def read_class(read: Reader, class_id: bytes) -> ClassRecord:
    """A class record. Raises Rejected(unknown-class)."""
    record = find_class(read, class_id)
    if record is None:
        raise refusal(Code.UNKNOWN_CLASS, f"there is no class {class_id.hex()}")
    return record


def read_release(
    read: Reader, class_id: bytes, sequence: int
) -> tuple[ReleaseRecord, ReleaseCounters]:
    """A release and what rules count of it. Raises Rejected(unknown-release)."""
    value = read.value(map_keys.release(class_id, sequence))
    counted = read.value(map_keys.release_counters(class_id, sequence))
    if value is None or counted is None:
        raise refusal(Code.UNKNOWN_RELEASE, f"sequence {sequence} is not published")
    return _release(value), ReleaseCounters.decode(counted)


def read_lot(read: Reader, lot_id: bytes) -> LotRecord:
    """A lot record. Raises Rejected(unknown-lot)."""
    value = read.value(map_keys.lot(lot_id))
    if value is None:
        raise refusal(Code.UNKNOWN_LOT, f"lot {lot_id.hex()} is not enrolled")
    return decode_lot_record(value)


# --- what rules wrote ---


def find_link(read: Reader, record_key: bytes) -> Link | None:
    """The last link of the record under `record_key`."""
    value = read.value(map_keys.link(record_key))
    return None if value is None else Link.decode(value)


def read_class_counters(read: Reader, class_id: bytes) -> ClassCounters:
    """The counters of a class that exists."""
    value = read.value(map_keys.class_counters(class_id))
    assert value is not None  # class.set wrote it with the class
    return _class_counters(value)


def read_classes_of(read: Reader, maker_id: bytes) -> tuple[bytes, ...]:
    """The sorted ids of a registered maker's classes."""
    value = read.value(map_keys.maker_classes(maker_id))
    assert value is not None  # maker.register wrote it
    match cbor.decode(value):
        case tuple(ids):
            return tuple(id_ for id_ in ids if isinstance(id_, bytes))
    raise AssertionError("a list of classes that no rule writes")


def read_count(read: Reader, key: bytes) -> int:
    """A counter such as a nonce; 0 where nothing was counted yet."""
    value = read.value(key)
    if value is None:
        return 0
    count = cbor.decode(value)
    assert isinstance(count, int), "a counter that no rule writes"
    return count
