# SPDX-License-Identifier: Apache-2.0
"""What a fleet says of a period: kept reports in order, under one RFC 6962 root. Pure.

Kept are reports that told the end of a release: of each device, release and outcome the first.
Such a list only grows, so that a period that is over has one root for ever; its size is bounded by
devices and releases, and every number of a `fleet.summary` rests on reports that can be shown.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fieldpost.errors import Malformed
from fieldpost.identity.outcome import Outcome
from fieldpost.posts.fleet import Outcomes
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.proof import prove_inclusion
from fieldpost.tlog.tree import MemoryTree

MOST_REPORTS: Final = 1 << 20
MOST_ENDS_OF_DEVICE: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A kept report: `outcome` is how release `sequence` ended, `report` the bytes as signed."""

    device: bytes
    sequence: int
    outcome: str
    report: bytes


@dataclass(frozen=True, slots=True)
class Shown:
    """A kept report at its index in the period's list, with its path to the root."""

    index: int
    end: End
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Period:
    """The kept reports of a class in a period, in order, and the tree over them."""

    ends: tuple[End, ...]
    tree: MemoryTree

    @classmethod
    def of(cls, ends: Iterable[End]) -> "Period":
        """Raises Malformed for more than `MOST_REPORTS`."""
        listed: list[End] = []
        for end in ends:
            if len(listed) == MOST_REPORTS:
                raise Malformed(f"more than {MOST_REPORTS} reports; choose a shorter period")
            listed.append(end)
        return cls(tuple(listed), MemoryTree(leaf_hash(end.report) for end in listed))

    def outcomes(self) -> dict[int, Outcomes]:
        """Per release, how many devices said first in this period that they confirmed it, …"""
        counts: dict[int, dict[str, int]] = {}
        for end in self.ends:
            row = counts.setdefault(end.sequence, {})
            row[end.outcome] = row.get(end.outcome, 0) + 1
        names = (Outcome.CONFIRMED.value, Outcome.FAILED.value, Outcome.REVERTED.value)
        return {
            sequence: Outcomes(*(row.get(name, 0) for name in names))
            for sequence, row in sorted(counts.items())
        }

    def shown(self, device: bytes) -> list[Shown]:
        """The reports of one device, each with its proof."""
        return [
            Shown(index, end, prove_inclusion(self.tree, index=index, size=len(self.ends)))
            for index, end in enumerate(self.ends)
            if end.device == device
        ]
