# SPDX-License-Identifier: Apache-2.0
"""How often one client may ask: a token bucket for each, in bounded memory.

A bucket is kept as the one moment at which it would be full again (GCRA, ATM Forum TM 4.0), so a
request costs one look-up and one addition. Two generations of buckets bound the memory: when the
young one is full it becomes the old one, and what was old is forgotten, which forgives a debt and
never makes one.
"""

from typing import Final

NOTHING: Final = 0.0
_ROUNDING_S: Final = 1e-6


class Rates:
    """Buckets that hold `burst` tokens and get `per_s` of them each second. For one thread."""

    def __init__(self, *, per_s: float, burst: float, most_clients: int) -> None:
        self._token_s = 1.0 / per_s
        self._burst_s = burst / per_s
        self._most = max(1, most_clients // 2)
        self._young: dict[bytes | str, float] = {}
        self._old: dict[bytes | str, float] = {}

    def __len__(self) -> int:
        """How many clients are remembered."""
        return len(self._young) + len(self._old)

    def take(self, client: bytes | str, cost: float, now: float) -> float:
        """Take `cost` tokens at `now` (seconds of any clock that does not go back).

        0.0 if they were there. Otherwise nothing is taken, and this is how many seconds are
        missing until they would be.
        """
        before = self._young.get(client)
        if before is None:
            before = self._old.pop(client, now)
        full_at = max(before, now) + cost * self._token_s
        missing = full_at - now - self._burst_s
        if missing > _ROUNDING_S:
            self._keep(client, before)
            return missing
        self._keep(client, full_at)
        return NOTHING

    def _keep(self, client: bytes | str, full_at: float) -> None:
        young = self._young
        if client not in young and len(young) >= self._most:
            self._old, self._young = young, {}
            young = self._young
        young[client] = full_at
