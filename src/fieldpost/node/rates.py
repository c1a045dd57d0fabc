# SPDX-License-Identifier: Apache-2.0
"""How often one client may ask: a token bucket for each, in bounded memory.

A bucket is kept as the one moment at which it would be full again (GCRA, ATM Forum TM 4.0), so a
request costs one look-up and one addition. Two generations of buckets bound the memory: when the
young one is full it becomes the old one, and what was old is forgotten, which forgives a debt and
never makes one.
"""

from typing import Final

NOTHING: Final = 0.0


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
        full_at = self._young.get(client)
        if full_at is None:
            full_at = self._old.pop(client, now)
        full_at = max(full_at, now) + cost * self._token_s
        missing = full_at - now - self._burst_s
        if missing > 0:
            self._keep(client, full_at - cost * self._token_s)
            return missing
        self._keep(client, full_at)
        return NOTHING

    def charge(self, client: bytes | str, cost: float, now: float) -> None:
        """Take tokens whether or not they are there, for what has been done already.

        A debt is at most one more burst.
        """
        full_at = max(self._young.get(client) or self._old.pop(client, now), now)
        most = now + 2 * self._burst_s
        self._keep(client, min(full_at + cost * self._token_s, most))

    def missing_s(self, client: bytes | str, now: float) -> float:
        """How many seconds a client must wait until it has a token again; 0.0 if it has one."""
        full_at = self._young.get(client) or self._old.get(client, now)
        return max(NOTHING, full_at + self._token_s - now - self._burst_s)

    def _keep(self, client: bytes | str, full_at: float) -> None:
        young = self._young
        if client not in young and len(young) >= self._most:
            self._old, self._young = young, {}
            young = self._young
        young[client] = full_at
