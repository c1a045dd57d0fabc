# SPDX-License-Identifier: Apache-2.0
"""Heads of the log that devices verified: gossip, for free, about what each was shown.

Whoever sees the log compares them with it (`fieldpost fleet evidence`, monitors): a head with its
cosignatures that is of another history is evidence against those who signed it. Here they are only
kept, few of each device, so that a stolen device key fills no disk.
"""

from dataclasses import dataclass
from typing import Final

from fieldpost import cbor
from fieldpost.identity.report import Report

MOST_HEADS: Final = 65_536
MOST_HEADS_OF_DEVICE: Final = 256
HEADS_AT_ONCE: Final = 1_000
UNSIGNED: Final = cbor.encode([])


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHead:
    """A head as the first device reported it. `cosignatures` is the CBOR of claim -65541."""

    size: int
    root: bytes
    timestamp: int
    device: bytes
    cosignatures: bytes

    def view(self, number: int, received: int) -> dict[str, object]:
        """The JSON form."""
        return {
            "number": number,
            "size": self.size,
            "root": self.root.hex(),
            "timestamp": self.timestamp,
            "device": self.device.hex(),
            "received": received,
            "cosignatures": self.cosignatures.hex(),
        }


def head_of(report: Report) -> DeviceHead | None:
    """The head that a verified report names; None if it names none."""
    if report.head is None:
        return None
    size, root, timestamp = report.head
    signed = [[c.key_id, c.timestamp, c.signature] for c in report.cosignatures]
    return DeviceHead(
        size=size,
        root=root,
        timestamp=timestamp,
        device=report.device,
        cosignatures=cbor.encode(signed),
    )
