# SPDX-License-Identifier: Apache-2.0
"""How a benchmark is timed and shown: ours, the bar, what it is measured against, and the ratio."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One measured quantity in `unit`, and beside it another that was measured in the same run.

    `bar` is what it must reach, or must not exceed where `at_most` says that less is better.
    """

    what: str
    unit: str
    ours: float
    bar: float | None = None
    at_most: bool = False
    against: str = ""
    theirs: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether the bar is reached; what has none is."""
        if self.bar is None:
            return True
        return self.ours <= self.bar if self.at_most else self.ours >= self.bar

    def line(self) -> str:
        """One line of the table."""
        shown = f"{self.what:<52} {_number(self.ours):>10} {self.unit:<10}"
        if self.bar is not None:
            sign = "≤" if self.at_most else "≥"
            shown += f" bar {sign} {_number(self.bar)} {'PASS' if self.is_met else 'MISS'}"
            shown += f" ({self.ours / self.bar:.2f} x)" if self.bar else ""
        if self.theirs is not None:
            shown += f"   {self.ours / self.theirs:.2f} x {self.against} ({_number(self.theirs)})"
        return shown.rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


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
