# SPDX-License-Identifier: Apache-2.0
"""A limit on bytes per second, as a token bucket. Pure: time is an argument.

A bucket fills with `rate` tokens a second up to one second's worth. What is spent beyond that is a
debt, and whoever spent it waits until it is paid: over any time the rate is kept, but for one
bucket and the last chunk.
"""

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBucket:
    """`rate` ≥ 1 bytes per second; `level` bytes may be spent at `at`, in seconds of uptime."""

    rate: int
    level: float
    at: float

    @classmethod
    def full(cls, rate: int, *, now: float) -> Self:
        """A bucket that was not used for a while."""
        return cls(rate=rate, level=rate, at=now)

    def spend(self, count: int, *, now: float) -> tuple[Self, float]:
        """The bucket after `count` bytes, and how many seconds to wait before the next."""
        passed = max(0.0, now - self.at)
        level = min(float(self.rate), self.level + passed * self.rate) - count
        after = replace(self, level=level, at=max(now, self.at))
        return after, max(0.0, -level / self.rate)
