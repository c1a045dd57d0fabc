# SPDX-License-Identifier: Apache-2.0
"""Signs that a device's key is in two places. Pure.

Whoever only relays can hold reports back and send old ones again, so neither a gap nor an old
report is a sign by itself. What one honest device never signs is: two different reports at one
boot count and counter; an earlier order with knowledge from after a later one; a log that shrank;
a leap that no device makes. A sign marks the device and changes nothing else: a device with a
broken memory looks the same.

The past of a device is kept as CBOR, [[boot count, counter, digest]…] with the oldest first and the
first 8 bytes of SHA-256 of each report's claims, and grows and is searched as it is: to decode and
encode sixteen of them for every report took longer than to verify its claims.
"""

import re
from hashlib import sha256
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Unavailable
from fieldpost.identity.report import Report

MOST_BOOTS: Final = 1_000
MOST_REPORTS_PER_BOOT: Final = 100_000
REMEMBERED: Final = 16
NOTHING: Final = cbor.encode([])
"""The past of a device that has not reported."""

_DIGEST_BYTES: Final = 8
_UINT: Final = rb"(?:[\x00-\x17]|\x18.|\x19.{2}|\x1a.{4}|\x1b.{8})"
_OLDEST: Final = re.compile(rb"\x83" + _UINT + _UINT + rb"\x48.{8}", re.DOTALL)


def told(report: Report, claims: bytes) -> bytes:
    """What is remembered of a report with these encoded claims."""
    digest = sha256(claims).digest()[:_DIGEST_BYTES]
    return cbor.encode((report.boot_count, report.counter, digest))


def remember(past: bytes, now: bytes) -> bytes:
    """The past with `told` of one more report, and without the oldest beyond `REMEMBERED`."""
    # An array of up to 23 items says in its first byte how many they are.
    count, start = past[0] - NOTHING[0] + 1, 1
    if count > REMEMBERED:
        oldest = _OLDEST.match(past, start)
        if oldest is None:
            raise Unavailable("the fleet database holds a past report that it did not write")
        count, start = REMEMBERED, oldest.end()
    return bytes((NOTHING[0] + count,)) + past[start:] + now


def clone_sign(
    report: Report, now: bytes, *, newest: tuple[int, int], size: int | None, past: bytes
) -> str | None:
    """The sign that `report` gives beside the newest and some earlier ones, in words, or None.

    All of them are verified reports of one device; `now` is `told` of it, `newest` the order of the
    newest and `size` that of the head that it names.
    """
    (boot, counter), (newest_boot, newest_counter) = report.order, newest
    if _is_contradicted(past, now):
        return f"two different reports at boot {boot}, counter {counter}"
    if report.head is not None and size is not None:
        if report.order < newest and report.head[0] > size:
            return f"boot {boot}, counter {counter} knows a later log than {newest}"
        if report.order > newest and report.head[0] < size:
            return f"its log went back from size {size} to {report.head[0]}"
    if boot - newest_boot > MOST_BOOTS:
        return f"{boot - newest_boot} boots between two reports"
    if boot == newest_boot and counter - newest_counter > MOST_REPORTS_PER_BOOT:
        return f"{counter - newest_counter} reports missing in one boot"
    return None


def _is_contradicted(past: bytes, now: bytes) -> bool:
    """Whether the past holds another report of the same boot count and counter."""
    moment = now[:-_DIGEST_BYTES]
    # Nearly always they are nowhere in it; where they are, it may be by chance, inside a digest.
    if moment not in past:
        return False
    items = cbor.split_sequence(past[1:], most=REMEMBERED)
    return any(item.startswith(moment) and item != now for item in items)
