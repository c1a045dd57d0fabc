# SPDX-License-Identifier: Apache-2.0
"""Rollouts: `rollout.set` makes the head of one channel (docs/spec/rules.md, rollout).

Signed by one rollout key. It says what is offered to whom; the rule adds what a maker must not
choose: the change count, the maker's link, and the salts that decide who is early. A cohort only
grows: the threshold of a release in a channel is 0 (halted) or no less than it ever was. A post
that does nothing but halt counts against the reserve, so a thief of the key cannot forbid it by
posting all day.
"""

from dataclasses import replace

from fieldpost.ledger.authority import Reach, check_role, take_nonce
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.heads import check_head_size, read_head
from fieldpost.ledger.quota import charge, charge_reserve
from fieldpost.ledger.reading import (
    check_claims,
    read_class,
    read_class_counters,
    read_lot,
    read_maker,
    read_payload,
    read_release,
)
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post
from fieldpost.posts.rollout import RolloutSet, decode_rollout_set
from fieldpost.records import map_keys
from fieldpost.records.counters import ReleaseCounters
from fieldpost.records.device_class import ClassRecord
from fieldpost.records.head import Head, Offer, cohort_salt
from fieldpost.records.maker import Role


def decide_rollout_set(read: Reader, post: Post, ctx: Context) -> Writes:
    """What a channel offers from now on. Raises Rejected or Malformed."""
    rollout = read_payload(post, decode_rollout_set)
    class_id, channel = rollout.class_id, rollout.channel
    device_class = read_class(read, class_id)
    maker = read_maker(read, device_class.maker)
    check_claims(post, issuer=maker.id.hex(), subject=subjects.of_channel(class_id, channel))
    check_role(post, ctx, maker, Role.ROLLOUT, Reach(class_id=class_id, channel=channel))
    writes = take_nonce(read, post, maker, Role.ROLLOUT, rollout.nonce)
    _check_channel(device_class, rollout)
    before = read_head(read, class_id, channel)
    count = charge_reserve if _is_halt(rollout, before) else charge
    writes |= count(read, ctx, maker.id.hex(), Role.ROLLOUT)
    floor = read_class_counters(read, class_id).floor
    offers = []
    for offer in rollout.offers:
        counters = _check_offer(read, offer, rollout, floor)
        salt = counters.salt or cohort_salt(
            previous_map_root=ctx.previous_map_root, class_id=class_id, sequence=offer.sequence
        )
        highest = max(offer.threshold, counters.highest.get(channel, 0))
        writes[map_keys.release_counters(class_id, offer.sequence)] = replace(
            counters, salt=salt, highest={**counters.highest, channel: highest}
        ).encode()
        offers.append(replace(offer, salt=salt))
    link = maker.link(read)
    head = Head(
        change_count=before.change_count + 1,
        offers=tuple(offers),
        interval_s=rollout.interval_s,
        maker_epoch=link.epoch,
        maker_link=link.digest,
    )
    check_head_size(head)
    return writes | {map_keys.head(class_id, channel): head.encode()}


def _check_channel(device_class: ClassRecord, rollout: RolloutSet) -> None:
    if rollout.channel not in device_class.channels:
        raise refusal(Code.UNKNOWN_CHANNEL, f"channels are {', '.join(device_class.channels)}")
    least, most = device_class.least_interval_s, device_class.most_interval_s
    if not least <= rollout.interval_s <= most:
        raise refusal(Code.INTERVAL, f"{rollout.interval_s} s; the class allows {least}…{most}")


def _check_offer(read: Reader, offer: Offer, rollout: RolloutSet, floor: int) -> ReleaseCounters:
    """The counters of the release that `offer` names, if it may be offered. Raises Rejected."""
    record, counters = read_release(read, rollout.class_id, offer.sequence)
    if record.manifest != offer.manifest:
        raise refusal(Code.WRONG_MANIFEST, f"sequence {offer.sequence} has another manifest")
    if counters.withdrawn is not None:
        raise refusal(Code.WITHDRAWN, f"sequence {offer.sequence}: {counters.withdrawn}")
    if offer.sequence < floor and not offer.is_step_to(floor):
        raise refusal(Code.BELOW_FLOOR, f"sequence {offer.sequence}; the floor is {floor}")
    highest = counters.highest.get(rollout.channel, 0)
    if 0 < offer.threshold < highest:
        raise refusal(
            Code.COHORT_SHRINKS,
            f"sequence {offer.sequence} had {highest}; go on with that or more, or halt with 0",
        )
    for lot_id in offer.lots:
        _check_lot(read, lot_id, rollout.class_id)
    return counters


def _check_lot(read: Reader, lot_id: bytes, class_id: bytes) -> None:
    if read_lot(read, lot_id).class_id != class_id:
        raise refusal(Code.UNKNOWN_LOT, f"lot {lot_id.hex()} is not of this class")


def _is_halt(rollout: RolloutSet, head: Head) -> bool:
    """Whether all that changes is that thresholds fall to 0."""
    before = [replace(offer, salt=None) for offer in head.offers]
    if rollout.interval_s != head.interval_s or len(before) != len(rollout.offers):
        return False
    changed = [(old, new) for old, new in zip(before, rollout.offers, strict=True) if old != new]
    return bool(changed) and all(new == replace(old, threshold=0) for old, new in changed)
