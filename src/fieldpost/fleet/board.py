# SPDX-License-Identifier: Apache-2.0
"""What a fleet service asks of its board: posted lots, their order, and device statuses."""

from dataclasses import dataclass
from typing import Protocol

from fieldpost.records.lot import LotRecord


@dataclass(frozen=True, slots=True)
class PostedLot:
    """A lot on the board. `entry` is the index of its post in the log: first lot of a key wins.

    The record is proven. Where a fleet service runs apart from the node, `entry` is the node's
    word; a lie could only change under which of its lots a device is listed.
    """

    record: LotRecord
    entry: int


class FleetBoard(Protocol):
    """A board's lots and statuses, and its links. For any thread."""

    def read(self, lot: bytes) -> PostedLot:
        """A posted lot. Raises NotFound, Unavailable."""
        ...

    def status_page(self, lot: bytes, page: int) -> bytes | None:
        """256 bytes of statuses (`fieldpost.identity.status`), None where all are valid.

        What cannot be asked now is answered from memory, and as None where there is none: a
        report is not lost because the board is out of reach.
        """
        ...

    def links(self) -> list[bytes]:
        """The entries of the board's links, genesis first. Raises Unavailable."""
        ...
