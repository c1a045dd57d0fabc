# SPDX-License-Identifier: Apache-2.0
"""Heads and offers: the value that a check-in proves (docs/spec/check-in.md).

    head  = {1: change count, 2: [offer…], 3: interval s, 4: maker epoch, 5: maker link}
    offer = {1: sequence, 2: SUIT digest, 3: threshold, 4: salt, 5: [from_min, from_max],
             6: not-before, 7: conditions, 8: [lot id…]}            5–8 optional
    conditions = {1: urgency, 2: postpone s, 3: battery %, 4: external power, 5: downtime s,
                  6: [first, last] local second of day}              all optional

Offers stand newest first. In `rollout.set` the same maps stand without label 4.
"""

from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records import limits
from fieldpost.records.fields import (
    Fields,
    Reading,
    check_distinct,
    is_of_later_version,
    octets_of,
    pair_of,
)

_OFFER_LABELS: Final = frozenset(range(1, 9))
_CONDITION_LABELS: Final = frozenset(range(1, 7))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """When a device may install. None = no condition."""

    urgency: int | None = None
    postpone_s: int | None = None
    battery_percent: int | None = None
    external_power: bool | None = None
    downtime_s: int | None = None
    window: tuple[int, int] | None = None

    def value(self) -> dict[int, object]:
        """The CBOR form."""
        fields = (
            self.urgency,
            self.postpone_s,
            self.battery_percent,
            self.external_power,
            self.downtime_s,
            None if self.window is None else list(self.window),
        )
        return {label: field for label, field in enumerate(fields, 1) if field is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One release as a channel hands it out. `salt` is None only inside `rollout.set`.

    `threshold` in 0…2^32 is the share of devices, `from_range` inclusive sequences.
    """

    sequence: int
    manifest: bytes
    threshold: int
    salt: bytes | None = None
    from_range: tuple[int, int] | None = None
    not_before: int | None = None
    conditions: Conditions | None = None
    lots: tuple[bytes, ...] = ()

    def is_step_to(self, floor: int) -> bool:
        """A stepping stone: it leads devices from below the floor on, and offers others nothing."""
        return self.from_range is not None and self.from_range[1] < floor

    def value(self) -> dict[int, object]:
        """The CBOR form."""
        value: dict[int, object] = {1: self.sequence, 2: self.manifest, 3: self.threshold}
        if self.salt is not None:
            value[4] = self.salt
        if self.from_range is not None:
            value[5] = list(self.from_range)
        if self.not_before is not None:
            value[6] = self.not_before
        if self.conditions is not None:
            value[7] = self.conditions.value()
        if self.lots:
            value[8] = list(self.lots)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The list of a channel's offers, and the maker link that governs them."""

    change_count: int
    offers: tuple[Offer, ...]
    interval_s: int
    maker_epoch: int
    maker_link: bytes

    def encode(self) -> bytes:
        """Deterministic CBOR: the value in the map."""
        return cbor.encode(
            {
                1: self.change_count,
                2: [offer.value() for offer in self.offers],
                3: self.interval_s,
                4: self.maker_epoch,
                5: self.maker_link,
            }
        )


def decode_head(data: bytes, reading: Reading = Reading.DEVICE) -> Head:
    """Read a head. A device skips offers with critical labels that it does not know.

    Raises Malformed, or Untrusted("unsupported") for an unknown critical label of the head itself.
    """
    fields = Fields(cbor.decode(data), "head")
    offers = (
        _read_known_offer(value, reading) for value in fields.array(2, most=limits.MAX_OFFERS)
    )
    head = Head(
        change_count=fields.uint(1),
        offers=tuple(offer for offer in offers if offer is not None),
        interval_s=fields.uint(3, least=1, most=limits.MAX_INTERVAL_S),
        maker_epoch=fields.uint(4),
        maker_link=fields.octets(5, length=32),
    )
    fields.close(reading)
    check_order(head.offers)
    return head


def check_order(offers: tuple[Offer, ...]) -> None:
    """Newest first, no sequence twice. Raises Malformed."""
    sequences = [offer.sequence for offer in offers]
    if any(first <= second for first, second in pairwise(sequences)):
        raise Malformed("offers must stand newest first, each sequence once")


def _read_known_offer(value: cbor.Value, reading: Reading) -> Offer | None:
    # Judged before anything else of the offer is read, since a later version may also have
    # changed what stands under the labels that are known here.
    if reading is Reading.DEVICE and isinstance(value, dict):
        conditions = value.get(7)
        later = is_of_later_version(value, _OFFER_LABELS)
        if later or is_of_later_version(conditions, _CONDITION_LABELS):
            return None
    return read_offer(value, reading, salted=True)


def read_offer(value: cbor.Value, reading: Reading, *, salted: bool) -> Offer:
    """Read an offer, with the salt that rules write or, in `rollout.set`, without it."""
    fields = Fields(value, "offer")
    offer = Offer(
        sequence=fields.uint(1, least=1),
        manifest=fields.octets(2, length=32),
        threshold=fields.uint(3, most=limits.FULL_THRESHOLD),
        salt=fields.octets(4, length=8) if salted else None,
        from_range=_read_range(fields.value(5)) if fields.has(5) else None,
        not_before=fields.uint(6) if fields.has(6) else None,
        conditions=_read_conditions(fields.value(7), reading) if fields.has(7) else None,
        lots=(
            fields.each(8, octets_of(16, "a lot id"), least=1, most=limits.MAX_OFFER_LOTS)
            if fields.has(8)
            else ()
        ),
    )
    fields.close(reading)
    check_distinct(offer.lots, "lots of an offer")
    return offer


def _read_range(value: cbor.Value) -> tuple[int, int]:
    first, last = pair_of(value, "a range of sequences", most=cbor.MAX_INT)
    if first > last:
        raise Malformed("a range of sequences must be [first, last]")
    return first, last


def _read_conditions(value: cbor.Value, reading: Reading) -> Conditions:
    fields = Fields(value, "conditions")
    conditions = Conditions(
        urgency=fields.uint(1, most=3) if fields.has(1) else None,
        postpone_s=fields.uint(2, most=limits.MAX_INTERVAL_S) if fields.has(2) else None,
        battery_percent=fields.uint(3, most=100) if fields.has(3) else None,
        external_power=fields.flag(4) if fields.has(4) else None,
        downtime_s=fields.uint(5, most=limits.MAX_INTERVAL_S) if fields.has(5) else None,
        # first > last is a window across midnight.
        window=pair_of(fields.value(6), "a window", most=86_399) if fields.has(6) else None,
    )
    fields.close(reading)
    return conditions


def cohort_salt(*, previous_map_root: bytes, class_id: bytes, sequence: int) -> bytes:
    """The 8 bytes that fix who is early for a release; made when it is first offered."""
    return sha256(
        cbor.encode(["fieldpost/cohort", previous_map_root, class_id, sequence])
    ).digest()[:8]


def cohort_draw(salt: bytes, device_id: bytes) -> int:
    """A device's number in 0…2^32-1; it is in the cohort when the number is below the threshold."""
    return int.from_bytes(sha256(salt + device_id).digest()[:4], "big")
