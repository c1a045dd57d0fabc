# SPDX-License-Identifier: Apache-2.0
"""Judging one report against what the fleet knows of its device. Pure: no disk, no clock.

A report counts if the device stands in a lot of the board, the key in its leaf signed it, it names
this board, and it comes after the newest one. The very bytes of the newest one again are the same
report, whose acknowledgement was lost, and change nothing.
"""

from dataclasses import dataclass
from typing import Final

from fieldpost.errors import Conflict, Untrusted
from fieldpost.fleet.database import Place, Seen
from fieldpost.identity.leaf import decode_leaf
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, verify_report

# Outcomes that say how a release ended on a device.
ENDS: Final = frozenset({Outcome.CONFIRMED, Outcome.FAILED, Outcome.REVERTED})


@dataclass(frozen=True, slots=True)
class Judged:
    """A report that counts. `sequence` is the release that it ends, `running` the one that it says
    runs; None where it says nothing of the kind."""

    report: Report
    class_id: bytes
    sequence: int | None
    running: int | None


def judge_report(
    data: bytes, *, place: Place | None, seen: Seen | None, board: str
) -> Judged | None:
    """The verified report, or None if it is the newest one again.

    Raises Untrusted("unknown-device") for a device in no lot, Untrusted and Malformed as
    `verify_report`, Conflict with the newest (boot count, counter) for a replay.
    """
    if place is None:
        raise Untrusted(
            "unknown-device",
            "this device is in no lot whose leaves are here; enrol its lot and upload the leaves",
        )
    leaf = decode_leaf(place.leaf)
    report = verify_report(data, leaf.key, board=board)
    if seen is not None:
        if data == seen.report:
            return None
        if report.order <= (seen.boot, seen.counter):
            raise Conflict(
                f"replayed-report: boot {report.boot_count}, counter {report.counter} "
                "is not after the newest report of this device",
                f"boot {seen.boot}, counter {seen.counter}",
            )
    return Judged(report, leaf.class_id, _ended(report), _running(report))


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
