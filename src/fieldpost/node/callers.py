# SPDX-License-Identifier: Apache-2.0
"""Who asks most, in bounded memory, and for what.

Clients are counted by network (IPv4 /24, IPv6 /48), which is enough to find who hammers a node and
says less about people. The count is the Space-Saving sketch (Metwally, Agrawal and El Abbadi,
2005): with m places, every network with more than 1/m of all requests is among them, and a count
is too high by at most that.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from threading import Lock
from typing import Final

from fieldpost.metrics.prometheus import Metrics

PLACES: Final = 256
SHOWN: Final = 10


class Callers:
    """Requests by network."""

    def __init__(self, places: int = PLACES) -> None:
        self._places = places
        self._counts: dict[str, int] = {}
        self._lock = Lock()

    def count(self, host: str, *, by: int = 1) -> None:
        """One or more requests from an address; anything that is none counts as itself."""
        network = network_of(host)
        with self._lock:
            if network not in self._counts and len(self._counts) >= self._places:
                least = min(self._counts, key=self._counts.__getitem__)
                by += self._counts.pop(least)
            self._counts[network] = self._counts.get(network, 0) + by

    def busiest(self) -> Mapping[str, float]:
        """The networks that asked most, and how often."""
        with self._lock:
            ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return {network: float(count) for network, count in ranked[:SHOWN]}


@lru_cache(4_096)
def network_of(host: str) -> str:
    """The network that stands for an address."""
    try:
        address = ip_address(host)
    except ValueError:
        return "unknown"
    length = 24 if isinstance(address, IPv4Address) else 48
    return str(ip_network((address, length), strict=False))


class Requests:
    """How requests end, by part of the API and status, and who asked."""

    def __init__(self, metrics: Metrics, callers: Callers) -> None:
        self._metrics = metrics
        self._callers = callers
        self._counts: dict[tuple[str, int], Callable[[int], None]] = {}

    def came(self, host: str) -> None:
        """A request from an address."""
        self._callers.count(host)

    def ended(self, path: str, status: int) -> None:
        """A request was answered."""
        key = noun_of(path), status // 100
        count = self._counts.get(key)
        if count is None:
            labels = {"noun": key[0], "status": f"{key[1]}xx"}
            count = self._counts[key] = self._metrics.counting("fieldpost_requests_total", labels)
        count(1)


_NOUNS: Final = frozenset(
    {"blobs", "board", "checkin", "classes", "devices", "fleet", "log", "lots", "makers"}
    | {"manifests", "posts", "proof", "receipts", "reports"}
)


def noun_of(path: str) -> str:
    """The part of the API that a path belongs to: one of a few words, whatever strangers send."""
    parts = path.split("/", 3)
    word = parts[2] if len(parts) > 2 and parts[1] == "v1" else parts[1] if len(parts) > 1 else ""
    return word if word in _NOUNS else "other"
