# SPDX-License-Identifier: Apache-2.0
"""Classes of devices: `class.set` (docs/spec/rules.md, class).

Signed by the maker's root threshold. Maker and name are fixed because the class id follows from
them; promises to owners (support end, channels) only grow. Every channel has a head from the first
moment, so a device always has something to prove.
"""

from fieldpost import cbor
from fieldpost.ledger.authority import Reach, check_role
from fieldpost.ledger.class_algorithms import check_algorithms
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.links import extend_chain
from fieldpost.ledger.quota import charge
from fieldpost.ledger.reading import (
    Maker,
    check_claims,
    find_class,
    read_board,
    read_class,
    read_class_counters,
    read_classes_of,
    read_maker,
    read_payload,
)
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post
from fieldpost.records import map_keys
from fieldpost.records.counters import ClassCounters
from fieldpost.records.device_class import ClassRecord, decode_class_record
from fieldpost.records.head import Head
from fieldpost.records.maker import Role

_DAY_S = 86_400


def decide_class_set(read: Reader, post: Post, ctx: Context) -> Writes:
    """A class, new or changed. Raises Rejected or Malformed."""
    record = read_payload(post, decode_class_record)
    maker = read_maker(read, record.maker)
    class_id = record.id
    check_claims(post, issuer=maker.id.hex(), subject=subjects.of_class(class_id))
    check_role(post, ctx, maker, Role.ROOT, Reach(class_id=class_id))
    writes = extend_chain(
        read,
        post,
        ctx,
        record_key=map_keys.device_class(class_id),
        epoch=record.epoch,
        previous=record.previous,
    )
    writes |= charge(read, ctx, maker.id.hex(), Role.ROOT)
    check_algorithms(record, maker)
    if record.successor is not None:
        read_class(read, record.successor)
    before = find_class(read, class_id)
    if before is None:
        return writes | _create(read, record, maker)
    return writes | _replace(read, record, before, maker)


def _create(read: Reader, record: ClassRecord, maker: Maker) -> Writes:
    classes = read_classes_of(read, maker.id)
    most = read_board(read).limits.classes_per_maker
    if len(classes) >= most:
        raise refusal(Code.TOO_MANY_CLASSES, f"this board allows {most} classes a maker")
    return {
        map_keys.class_counters(record.id): ClassCounters().encode(),
        map_keys.maker_classes(maker.id): cbor.encode(sorted((*classes, record.id))),
        **_empty_heads(read, record, maker, record.channels),
    }


def _replace(read: Reader, record: ClassRecord, before: ClassRecord, maker: Maker) -> Writes:
    # An id is a shortened hash: somebody who finds a second name for it must not get the class.
    if (before.maker, before.name) != (record.maker, record.name):
        raise refusal(Code.TAKEN, "the class id belongs to another maker or name")
    if record.support_end < before.support_end:
        raise refusal(Code.SUPPORT_SHORTENED, f"support was promised until {before.support_end}")
    removed = set(before.channels) - set(record.channels)
    if removed:
        raise refusal(Code.CHANNEL_REMOVED, f"channels only grow; missing: {sorted(removed)}")
    enrolled = read_class_counters(read, record.id).devices
    if record.most_devices < enrolled:
        raise refusal(Code.TOO_MANY_DEVICES, f"{enrolled} devices are enrolled already")
    added = tuple(channel for channel in record.channels if channel not in before.channels)
    return _empty_heads(read, record, maker, added)


def _empty_heads(
    read: Reader, record: ClassRecord, maker: Maker, channels: tuple[str, ...]
) -> Writes:
    link = maker.link(read)
    head = Head(
        change_count=0,
        offers=(),
        interval_s=min(max(_DAY_S, record.least_interval_s), record.most_interval_s),
        maker_epoch=link.epoch,
        maker_link=link.digest,
    ).encode()
    return {map_keys.head(record.id, channel): head for channel in channels}
