# SPDX-License-Identifier: Apache-2.0
"""Devices: `device.status` (docs/spec/rules.md, device).

    valid -> suspended | revoked | decommissioned      care key
    suspended -> revoked | decommissioned              care key
    suspended -> valid                                 root threshold
    revoked, decommissioned                            final

A stolen care key can take devices out, visibly, and cannot bring one back: a post that makes any
device valid is root's as a whole. Statuses live in pages of 1,024; no page says: all valid.
"""

from collections import defaultdict
from typing import Final

from fieldpost.identity.status import DeviceStatus, change_statuses, page_number, read_status
from fieldpost.ledger.authority import Reach, check_role, take_nonce
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.quota import charge
from fieldpost.ledger.reading import check_claims, read_class, read_lot, read_maker, read_payload
from fieldpost.posts import subjects
from fieldpost.posts.device import decode_device_status
from fieldpost.posts.envelope import Post
from fieldpost.records import map_keys
from fieldpost.records.maker import Role

_FINAL: Final = frozenset({DeviceStatus.REVOKED, DeviceStatus.DECOMMISSIONED})


def decide_device_status(read: Reader, post: Post, ctx: Context) -> Writes:
    """Devices of a lot that change their status. Raises Rejected or Malformed."""
    change = read_payload(post, decode_device_status)
    lot = read_lot(read, change.lot)
    maker = read_maker(read, read_class(read, lot.class_id).maker)
    check_claims(post, issuer=maker.id.hex(), subject=subjects.of_lot(lot.id))
    reinstates = any(status == DeviceStatus.VALID for _, status in change.changes)
    role = Role.ROOT if reinstates else Role.CARE
    check_role(post, ctx, maker, role, Reach(class_id=lot.class_id))
    writes = take_nonce(read, post, maker, role, change.nonce)
    writes |= charge(read, ctx, maker.id.hex(), role)
    last = change.changes[-1][0]
    if last >= lot.count:
        raise refusal(Code.UNKNOWN_DEVICE, f"device {last}; the lot has {lot.count}")
    by_page: defaultdict[int, list[tuple[int, DeviceStatus]]] = defaultdict(list)
    for index, status in change.changes:
        by_page[page_number(index)].append((index, DeviceStatus(status)))
    for number, changes in by_page.items():
        key = map_keys.status(lot.id, number)
        page = read.value(key)
        for index, new in changes:
            _check_change(index, read_status(page, index), new)
        writes[key] = change_statuses(page, changes, number=number)
    return writes


def _check_change(index: int, old: DeviceStatus, new: DeviceStatus) -> None:
    if old in _FINAL:
        raise refusal(Code.STATUS, f"device {index} is {old.name.lower()} for good")
    if old is new:
        raise refusal(Code.STATUS, f"device {index} is {old.name.lower()} already")
