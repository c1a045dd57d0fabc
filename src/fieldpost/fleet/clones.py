# SPDX-License-Identifier: Apache-2.0
"""Signs that a device's key is in two places. Pure.

Whoever only relays can hold reports back and send old ones again, so neither a gap nor an old
report is a sign by itself. What one honest device never signs is: two different reports at one
boot count and counter; an earlier order with knowledge from after a later one; a log that shrank;
a leap that no device makes. A sign marks the device and changes nothing else: a device with a
broken memory looks the same.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from fieldpost.identity.report import Report

MOST_BOOTS: Final = 1_000
MOST_REPORTS_PER_BOOT: Final = 100_000
REMEMBERED: Final = 16

Told = tuple[int, int, bytes]
"""Boot count, counter, and the first 8 bytes of SHA-256 of the claims of an accepted report."""


def told(report: Report, claims: bytes) -> Told:
    """What is remembered of a report with these encoded claims."""
    return report.boot_count, report.counter, sha256(claims).digest()[:8]


def remember(past: Sequence[Told], now: Told) -> tuple[Told, ...]:
    """The past with one more report, and without the oldest beyond `REMEMBERED`."""
    return (*past, now)[-REMEMBERED:]


def clone_sign(report: Report, now: Told, *, newest: Report, past: Sequence[Told]) -> str | None:
    """The sign that `report` gives beside the newest and some earlier ones, in words, or None.

    All of them are verified reports of one device; `now` is `told` of it.
    """
    boot, counter, digest = now
    if any((boot, counter) == seen[:2] and digest != seen[2] for seen in past):
        return f"two different reports at boot {boot}, counter {counter}"
    if report.head is not None and newest.head is not None:
        size, newest_size = report.head[0], newest.head[0]
        if report.order < newest.order and size > newest_size:
            return f"boot {boot}, counter {counter} knows a later log than {newest.order}"
        if report.order > newest.order and size < newest_size:
            return f"its log went back from size {newest_size} to {size}"
    if boot - newest.boot_count > MOST_BOOTS:
        return f"{boot - newest.boot_count} boots between two reports"
    if boot == newest.boot_count and counter - newest.counter > MOST_REPORTS_PER_BOOT:
        return f"{counter - newest.counter} reports missing in one boot"
    return None
