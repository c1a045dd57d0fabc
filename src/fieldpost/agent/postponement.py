# SPDX-License-Identifier: Apache-2.0
"""Putting an offer off, as long as the offer itself allows. Pure; times in Unix seconds.

The time that an offer allows begins when this device first saw it, whatever was wished since.
"""

from dataclasses import dataclass, replace

from fieldpost.records.head import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """An offer that may be put off: since when it is known, for how long, and until when it is."""

    manifest: bytes
    sequence: int
    seen_at: int
    may_s: int
    until: int


def consider(
    before: Pending | None, offer: Offer, *, now: int, default_s: int, wish_s: int | None
) -> Pending | None:
    """What is pending after a look at `offer`; None where it may not be put off.

    `default_s` is for how long its owner puts every offer off, `wish_s` what a person wished about
    this one, from now on (0: install it now).
    """
    may_s = 0 if offer.conditions is None else offer.conditions.postpone_s or 0
    if may_s == 0:
        return None
    if before is None or before.manifest != offer.manifest:
        before = Pending(
            manifest=offer.manifest,
            sequence=offer.sequence,
            seen_at=now,
            may_s=may_s,
            until=now + default_s,
        )
    until = before.until if wish_s is None else now + wish_s
    # A clock that was ahead when the offer came must not put it off for years.
    seen_at = min(before.seen_at, now)
    return replace(before, may_s=may_s, seen_at=seen_at, until=min(until, seen_at + may_s))


def is_put_off(pending: Pending | None, *, now: int) -> bool:
    """Whether to wait."""
    return pending is not None and now < pending.until
