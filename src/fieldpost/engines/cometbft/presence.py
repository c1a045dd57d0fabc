# SPDX-License-Identifier: Apache-2.0
"""Which operators' nodes answer, and how far they are: why nothing new is published here."""

import threading
import time
from collections.abc import Callable
from typing import Final

from fieldpost.records.board import BoardRecord

# So long may others have published what this node has not, before it says so.
BEHIND_S: Final = 15.0


class Presence:
    """Who of a record's operators answered when last asked; whoever was not asked yet counts.

    What they say of how far they are is believed once one of them must be honest. `uptime` gives
    seconds since any moment. For any thread.
    """

    def __init__(self, uptime: Callable[[], float] = time.monotonic) -> None:
        self._uptime = uptime
        self._lock = threading.Lock()
        self._away: set[str] = set()
        self._sizes: dict[str, int] = {}
        self._own = 0
        # What others published, and since when this node is expected to have it.
        self._goal, self._since = 0, 0.0
        self._record: BoardRecord | None = None

    def expect(self, record: BoardRecord) -> None:
        """These operators are the board's now."""
        with self._lock:
            self._record = record
            names = {operator.name for operator in record.operators}
            self._away &= names
            self._sizes = {name: size for name, size in self._sizes.items() if name in names}

    def heard(self, name: str) -> None:
        """An operator's node answered."""
        with self._lock:
            self._away.discard(name)

    def shows(self, name: str, size: int) -> None:
        """An operator's node publishes this size."""
        with self._lock:
            self._sizes[name] = size
            if self._record is None or self._own < self._goal:
                return
            tolerated = len(self._record.operators) - self._record.quorum
            known = sorted(self._sizes.values(), reverse=True)
            if len(known) > tolerated:
                self._goal, self._since = known[tolerated], self._uptime()

    def publish(self, size: int) -> None:
        """This node publishes this size."""
        with self._lock:
            self._own = size

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
                return self._behind()
            away = ", ".join(sorted(self._away))
            return (
                f"{there} of {len(self._record.operators)} operators answer each other, "
                f"{self._record.quorum} are needed: nothing new is published, and it goes on by "
                f"itself once they do; ask {away}, and look at the network between you"
            )

    def _behind(self) -> str | None:
        waited = self._uptime() - self._since
        if self._own >= self._goal or waited < BEHIND_S:
            return None
        return (
            f"the other operators published {self._goal} entries {waited:.0f} s ago, and this node "
            f"{self._own}: it catches up, or its CometBFT is held up; look at cometbft.log, at the "
            "way to the others' CometBFTs, and at this machine's clock"
        )
