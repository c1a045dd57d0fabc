# SPDX-License-Identifier: Apache-2.0
"""Lots of devices: `lot.enrol` (docs/spec/rules.md, lot).

Signed by one enrol key. A lot is a closed set: its id follows from its content. What a key may
enrol in all is counted per key, so a scope's limit cannot be had twice by posting twice.
"""

from dataclasses import replace

from fieldpost import cbor
from fieldpost.ledger.authority import Reach, check_role, take_nonce
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.quota import charge
from fieldpost.ledger.reading import (
    check_claims,
    read_class,
    read_class_counters,
    read_count,
    read_maker,
    read_payload,
)
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post
from fieldpost.records import identifiers, map_keys
from fieldpost.records.lot import decode_lot_record
from fieldpost.records.maker import Role


def decide_lot_enrol(read: Reader, post: Post, ctx: Context) -> Writes:
    """A new lot of a class. Raises Rejected or Malformed."""
    record = read_payload(post, decode_lot_record)
    device_class = read_class(read, record.class_id)
    maker = read_maker(read, device_class.maker)
    check_claims(post, issuer=maker.id.hex(), subject=subjects.of_lot(record.id))
    by_key = map_keys.enrolled_by_key(post.signatures[0].kid)
    enrolled = read_count(read, by_key) + record.count
    check_role(post, ctx, maker, Role.ENROL, Reach(class_id=record.class_id, devices=enrolled))
    writes = take_nonce(read, post, maker, Role.ENROL, record.nonce)
    writes |= charge(read, ctx, maker.id.hex(), Role.ENROL)
    expected = identifiers.lot_id(
        maker=maker.id, class_=record.class_id, count=record.count, root=record.root
    )
    if record.id != expected:
        raise refusal(Code.WRONG_LOT_ID, f"the content has the id {expected.hex()}")
    if read.value(map_keys.lot(record.id)) is not None:
        raise refusal(Code.TAKEN, f"lot {record.id.hex()} is enrolled already")
    counters = read_class_counters(read, record.class_id)
    devices = counters.devices + record.count
    if devices > device_class.most_devices:
        raise refusal(
            Code.TOO_MANY_DEVICES,
            f"{devices} devices in all; the class allows {device_class.most_devices}",
        )
    return writes | {
        map_keys.lot(record.id): post.statement.payload,
        map_keys.class_counters(record.class_id): replace(counters, devices=devices).encode(),
        by_key: cbor.encode(enrolled),
    }
