# SPDX-License-Identifier: Apache-2.0
"""Rollouts: `rollout.set` makes the head of one channel (docs/spec/rules.md, rollout).

Signed by one rollout key. It says what is offered to whom; the rule adds what a maker must not
choose: the change count, the maker's link, and the salts that decide who is early. A cohort only
grows: the threshold of a release in a channel is 0 (halted) or no less than it ever was.
"""

from dataclasses import replace

from fieldpost.ledger.authority import Reach, check_role, take_nonce
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.reading import (
    Maker,
    check_claims,
    read_class,
    read_class_counters,
    read_maker,
    read_payload,
)
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post
from fieldpost.posts.rollout import RolloutSet, decode_rollout_set
from fieldpost.records import map_keys
from fieldpost.records.counters import ReleaseCounters
from fieldpost.records.device_class import ClassRecord
from fieldpost.records.fields import Reading
from fieldpost.records.head import Head, Offer, cohort_salt, decode_head
from fieldpost.records.limits import MAX_HEAD_BYTES
from fieldpost.records.lot import decode_lot_record
from fieldpost.records.maker import Role
from fieldpost.records.release import decode_release_record


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
    writes[map_keys.head(class_id, channel)] = _next_head(read, rollout, maker, tuple(offers))
    return writes


def _check_channel(device_class: ClassRecord, rollout: RolloutSet) -> None:
    if rollout.channel not in device_class.channels:
        raise refusal(Code.UNKNOWN_CHANNEL, f"channels are {', '.join(device_class.channels)}")
    least, most = device_class.least_interval_s, device_class.most_interval_s
    if not least <= rollout.interval_s <= most:
        raise refusal(Code.INTERVAL, f"{rollout.interval_s} s; the class allows {least}…{most}")


def _check_offer(read: Reader, offer: Offer, rollout: RolloutSet, floor: int) -> ReleaseCounters:
    """The counters of the release that `offer` names, if it may be offered. Raises Rejected."""
    value = read.value(map_keys.release(rollout.class_id, offer.sequence))
    counted = read.value(map_keys.release_counters(rollout.class_id, offer.sequence))
    if value is None or counted is None:
        raise refusal(Code.UNKNOWN_RELEASE, f"sequence {offer.sequence} is not published")
    if decode_release_record(value).manifest != offer.manifest:
        raise refusal(Code.WRONG_MANIFEST, f"sequence {offer.sequence} has another manifest")
    counters = ReleaseCounters.decode(counted)
    if counters.withdrawn is not None:
        raise refusal(Code.WITHDRAWN, f"sequence {offer.sequence}: {counters.withdrawn}")
    # A stepping stone leads devices from below the floor to above it, and offers nothing to others.
    is_step = offer.from_range is not None and offer.from_range[1] < floor
    if offer.sequence < floor and not is_step:
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
    value = read.value(map_keys.lot(lot_id))
    if value is None or decode_lot_record(value).class_id != class_id:
        raise refusal(Code.UNKNOWN_LOT, f"lot {lot_id.hex()} is not enrolled in the class")


def _next_head(read: Reader, rollout: RolloutSet, maker: Maker, offers: tuple[Offer, ...]) -> bytes:
    value = read.value(map_keys.head(rollout.class_id, rollout.channel))
    assert value is not None  # class.set wrote an empty one for every channel
    link = maker.link(read)
    head = Head(
        change_count=decode_head(value, Reading.LEDGER).change_count + 1,
        offers=offers,
        interval_s=rollout.interval_s,
        maker_epoch=link.epoch,
        maker_link=link.digest,
    ).encode()
    if len(head) > MAX_HEAD_BYTES:
        raise refusal(Code.HEAD_SIZE, f"{len(head)} bytes; at most {MAX_HEAD_BYTES}")
    return head
