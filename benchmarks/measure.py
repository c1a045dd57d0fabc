# SPDX-License-Identifier: Apache-2.0
"""How a benchmark is timed and shown: ours, beside what it is measured against, and the ratio."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Two rates in `unit` per second. Without a baseline the rate stands alone."""

    what: str
    unit: str
    ours: float
    against: str = ""
    theirs: float | None = None

    def line(self) -> str:
        """One line of the table."""
        shown = f"{self.what:<44} {self.ours:>12,.0f} {self.unit}/s"
        if self.theirs is None:
            return shown
        return f"{shown}   {self.ours / self.theirs:6.2f} x {self.against} ({self.theirs:,.0f}/s)"


def rate(work: Callable[[], int], *, rounds: int = 3) -> float:
    """The best rate of some rounds; `work` returns how many units it did."""
    best = 0.0
    for _ in range(rounds):
        began = time.perf_counter()
        count = work()
        best = max(best, count / (time.perf_counter() - began))
    return best


def repeated(work: Callable[[], object], *, seconds: float = 1.0) -> Callable[[], int]:
    """Work that is done again and again for a while."""

    def run() -> int:
        count, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            work()
            count += 1
        return count

    return run
