# SPDX-License-Identifier: Apache-2.0
"""Who asks: the address that a request is charged to, also behind a proxy.

An IPv6 client is its /64, because that is what one customer gets. What a proxy says in
`X-Forwarded-For` or `Forwarded` (RFC 7239) counts only where the connection comes from one of the
trusted networks, and only up to the first address from the right that is not trusted: what stands
further left anybody may have written. A trusted peer that forwards for nobody is not limited; it is
the operator's own program, or a proxy that limits its clients itself.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

IPAddress = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Headers = Iterable[tuple[bytes, bytes]]

OWN: Final = ""
"""The client of requests that are not limited."""
UNKNOWN: Final = "unknown"

_MOST_HOPS: Final = 32
_FOR: Final = re.compile(rb'(?:^|[;,])\s*for="?([^";,\s]+)"?', re.IGNORECASE)


class Clients:
    """Finds the client of a request. `trusted`: networks of proxies, as 127.0.0.0/8."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted = tuple(ip_network(text) for text in trusted)
        # Bounded, and bound to this object's networks.
        self.of = lru_cache(maxsize=65_536)(self._of)

    def _of(self, address: str) -> str:
        """The client at an address; OWN for a trusted one, or none at all (a Unix socket)."""
        found = _address(address)
        if found is None:
            return UNKNOWN if address else OWN
        if self._is_trusted(found):
            return OWN
        if isinstance(found, IPv6Address):
            return str(ip_network((found, 64), strict=False))
        return str(found)

    def _is_trusted(self, address: IPAddress) -> bool:
        return any(address in network for network in self._trusted)

    def forwarded(self, headers: Headers) -> str:
        """The address for which a trusted peer asks; OWN if it says none.

        `headers` have names in lower case.
        """
        hops: list[bytes] = []
        for name, value in headers:
            if name == b"x-forwarded-for":
                hops += value.split(b",")
            elif name == b"forwarded":
                hops += _FOR.findall(value)
        for hop in reversed(hops[-_MOST_HOPS:]):
            found = _address(_bare(hop.strip().decode("latin-1")))
            if found is None:
                return UNKNOWN
            if not self._is_trusted(found):
                return str(found)
        return OWN


def _bare(hop: str) -> str:
    """A hop without brackets and port."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.rpartition(":")[0] if hop.count(":") == 1 else hop


def _address(host: str) -> IPAddress | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
