# SPDX-License-Identifier: Apache-2.0
"""Which operators' nodes answer, so that a node can say why nothing new is published."""

import threading

from fieldpost.records.board import BoardRecord


class Presence:
    """Who of a record's operators answered when last asked; whoever was not asked yet counts.

    For any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._away: set[str] = set()
        self._record: BoardRecord | None = None

    def expect(self, record: BoardRecord) -> None:
        """These operators are the board's now."""
        with self._lock:
            self._record = record
            self._away &= {operator.name for operator in record.operators}

    def heard(self, name: str) -> None:
        """An operator's node answered."""
        with self._lock:
            self._away.discard(name)

    def missed(self, name: str) -> None:
        """It did not."""
        with self._lock:
            self._away.add(name)

    def is_here(self, name: str) -> bool:
        """Whether it answered when last asked."""
        with self._lock:
            return name not in self._away

    @property
    def trouble(self) -> str | None:
        """What to say while too few answer to publish anything."""
        with self._lock:
            if self._record is None:
                return None
            there = len(self._record.operators) - len(self._away)
            if there >= self._record.quorum:
                return None
            away = ", ".join(sorted(self._away))
            return (
                f"{there} of {len(self._record.operators)} operators answer each other, "
                f"{self._record.quorum} are needed: nothing new is published, and it goes on by "
                f"itself once they do; ask {away}, and look at the network between you"
            )
