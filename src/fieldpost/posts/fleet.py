# SPDX-License-Identifier: Apache-2.0
"""`fleet.summary`: what a maker says of its fleet, in numbers alone (docs/spec/kinds.md).

{1: nonce, 2: class id, 3: [from, to], 4: reports, 5: root, 6: {sequence: [confirmed, failed,
 reverted]}}

`root` is the RFC 6962 root over the signed reports of the period, which stay with the maker: it
can show any of them later and can change none. Label 6 is optional. No device is named.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records import limits
from fieldpost.records.fields import Fields, pair_of


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How many devices confirmed a release, failed, or went back."""

    confirmed: int
    failed: int
    reverted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSummary:
    """One class in a period. `start` and `end` in Unix seconds, the end excluded."""

    nonce: int
    class_id: bytes
    start: int
    end: int
    reports: int
    root: bytes
    outcomes: Mapping[int, Outcomes] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the post, and the value in the map."""
        value: dict[int, object] = {
            1: self.nonce,
            2: self.class_id,
            3: [self.start, self.end],
            4: self.reports,
            5: self.root,
        }
        if self.outcomes:
            value[6] = {
                sequence: [count.confirmed, count.failed, count.reverted]
                for sequence, count in self.outcomes.items()
            }
        return cbor.encode(value)


def decode_fleet_summary(data: bytes) -> FleetSummary:
    """Read a fleet summary. Raises Malformed."""
    fields = Fields(cbor.decode(data), "fleet summary")
    start, end = pair_of(fields.value(3), "a period", most=cbor.MAX_INT)
    summary = FleetSummary(
        nonce=fields.uint(1, least=1),
        class_id=fields.octets(2, length=16),
        start=start,
        end=end,
        reports=fields.uint(4),
        root=fields.octets(5, length=32),
        outcomes=_read_outcomes(fields.map(6)) if fields.has(6) else {},
    )
    fields.close()
    if start >= end:
        raise Malformed("fleet summary: a period begins before it ends")
    return summary


def _read_outcomes(value: dict[cbor.Key, cbor.Value]) -> dict[int, Outcomes]:
    if not 1 <= len(value) <= limits.MAX_SUMMARY_RELEASES:
        raise Malformed(f"fleet summary: outcomes of 1…{limits.MAX_SUMMARY_RELEASES} releases")
    outcomes = {}
    for sequence, counts in value.items():
        match counts:
            case (int(confirmed), int(failed), int(reverted)) if (
                type(sequence) is int
                and sequence > 0
                and all(type(count) is int and count >= 0 for count in counts)
            ):
                outcomes[sequence] = Outcomes(confirmed, failed, reverted)
            case _:
                raise Malformed("outcomes must be {sequence: [confirmed, failed, reverted]}")
    return outcomes
