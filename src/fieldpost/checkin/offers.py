# SPDX-License-Identifier: Apache-2.0
"""Step 8: which offer of a head is for this device (docs/spec/check-in.md, offers).

Every targeting rule is public: who is early follows from the head, the device id and nothing else.
"""

from fieldpost.records.head import Head, Offer, cohort_draw


def choose_offer(
    head: Head, *, running: int, device: bytes, lot: bytes | None, timestamp: int
) -> Offer | None:
    """The first offer that a device takes, newest first, or None.

    `running` is the sequence that the device runs (0: none), `device` its 32-byte id, `lot` its
    lot id if it knows one, `timestamp` T of the bundle that proved the head, in Unix seconds.
    """
    return next(
        (offer for offer in head.offers if is_for(offer, running, device, lot, timestamp)), None
    )


def is_for(offer: Offer, running: int, device: bytes, lot: bytes | None, timestamp: int) -> bool:
    """Whether one offer is newer, due, and meant for this device."""
    first, last = offer.from_range or (0, running)
    return (
        offer.sequence > running
        and first <= running <= last
        and (offer.not_before is None or offer.not_before <= timestamp)
        and (not offer.lots or lot in offer.lots)
        and offer.salt is not None
        and cohort_draw(offer.salt, device) < offer.threshold
    )
