# SPDX-License-Identifier: Apache-2.0
"""Judging one report against what the fleet knows of its device. Pure: no disk, no clock.

A report counts if the device stands in a lot of the board, the key in its leaf signed it, it names
this board, and it comes after the newest one. The very bytes of the newest one again are the same
report, whose acknowledgement was lost, and change nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fieldpost.errors import Conflict, Untrusted
from fieldpost.fleet.clones import NOTHING, clone_sign, remember, told
from fieldpost.fleet.devices import Place, Seen
from fieldpost.identity.leaf import scan_key
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import (
    CheckSignature,
    Report,
    claims_of,
    open_report,
    verify_report,
)
from fieldpost.identity.status import DeviceStatus
from fieldpost.keys import verify_signature

# Outcomes that say how a release ended on a device.
ENDS: Final = frozenset({Outcome.CONFIRMED, Outcome.FAILED, Outcome.REVERTED})
_REFUSED: Final = frozenset({DeviceStatus.REVOKED, DeviceStatus.DECOMMISSIONED})


@dataclass(frozen=True, slots=True)
class Judged:
    """A report that counts. `sequence` is the release that it ends, `running` the one that it says
    runs; None where it says nothing of the kind. `past` remembers it and some before."""

    report: Report
    class_id: bytes
    sequence: int | None
    running: int | None
    past: bytes


def judge_report(
    data: bytes,
    *,
    place: Place | None,
    status: DeviceStatus,
    seen: Seen | None,
    board: str,
    suspect: Callable[[str], None],
    check_signature: CheckSignature = verify_signature,
) -> Judged | None:
    """The verified report, or None if it is the newest one again.

    `status` is the worst that the board says of the key; `suspect` hears of a sign that the key is
    in two places, whether or not the report counts; `check_signature` is that of `verify_report`.
    Raises Untrusted("unknown-device") for a
    device in no lot, Untrusted("revoked-device" | "decommissioned-device"), Untrusted and
    Malformed as `verify_report`, Conflict with the newest (boot count, counter) for a replay.
    """
    if place is None:
        raise Untrusted(
            "unknown-device",
            "this device is in no lot whose leaves are here; enrol its lot and upload the leaves",
        )
    key, class_id = scan_key(place.leaf)
    report = verify_report(data, key, board=board, check_signature=check_signature)
    if status in _REFUSED:
        raise Untrusted(
            f"{status.name.lower()}-device",
            "the board says so of this device for good; enrol another key in another lot",
        )
    now = told(report, claims_of(data))
    if seen is not None:
        newest = seen.boot, seen.counter
        # A device may sign the very same report anew.
        if report.order == newest and report == open_report(seen.report)[1]:
            return None
        sign = clone_sign(report, now, newest=newest, size=_size(seen), past=seen.past)
        if sign is not None:
            suspect(sign)
        if report.order <= newest:
            raise Conflict(
                f"replayed-report: boot {report.boot_count}, counter {report.counter} "
                "is not after the newest report of this device",
                f"boot {seen.boot}, counter {seen.counter}",
            )
    past = remember(seen.past if seen else NOTHING, now)
    return Judged(report, class_id, _ended(report), _running(report), past)


def _size(seen: Seen) -> int | None:
    """The size of the head that the newest report names. An older program did not write it down."""
    if seen.size is not None:
        return seen.size
    head = open_report(seen.report)[1].head
    return None if head is None else head[0]


def _ended(report: Report) -> int | None:
    """The release that a report tells the end of: that of its first component."""
    if report.outcome not in ENDS or not report.components:
        return None
    return report.components[0].sequence


def _running(report: Report) -> int | None:
    """The release that runs; a report of a failed attempt names what did not stay."""
    if report.outcome in (Outcome.FAILED, Outcome.REVERTED) or not report.components:
        return None
    return report.components[0].sequence
