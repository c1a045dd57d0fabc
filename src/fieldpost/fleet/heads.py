# SPDX-License-Identifier: Apache-2.0
"""Heads of the log that devices verified: gossip, for free, about what each was shown.

Whoever sees the log compares them with it (`fieldpost fleet evidence`, monitors): a head with its
cosignatures that is of another history is evidence against those who signed it. Here they are only
kept, few of each device, so that a stolen device key fills no disk.
"""

import sqlite3
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


def head_of(report: Report) -> DeviceHead:
    """The head that a verified report names. ValueError if it names none."""
    if report.head is None:
        raise ValueError("this report names no head")
    size, root, timestamp = report.head
    signed = [[c.key_id, c.timestamp, c.signature] for c in report.cosignatures]
    return DeviceHead(
        size=size,
        root=root,
        timestamp=timestamp,
        device=report.device,
        cosignatures=cbor.encode(signed),
    )


def keep_head(connection: sqlite3.Connection, head: DeviceHead, received: int) -> None:
    """Keep a head that a device verified, if it is the first to; the oldest go.

    One that comes again with cosignatures, where there were none, gets them.
    """
    known = connection.execute(
        "SELECT cosignatures FROM heads WHERE size = ? AND root = ?", (head.size, head.root)
    ).fetchone()
    if known is not None:
        if known[0] == UNSIGNED != head.cosignatures:
            connection.execute(
                "UPDATE heads SET cosignatures = ? WHERE size = ? AND root = ?",
                (head.cosignatures, head.size, head.root),
            )
        return
    row = (head.size, head.root, head.timestamp, head.device, received, head.cosignatures)
    connection.execute(
        "INSERT INTO heads (size, root, timestamp, device, received, cosignatures) "
        "SELECT ?1, ?2, ?3, ?4, ?5, ?6 "
        "WHERE (SELECT COUNT(*) FROM heads WHERE device = ?4) < ?7",
        (*row, MOST_HEADS_OF_DEVICE),
    )
    connection.execute(
        "DELETE FROM heads WHERE number <= (SELECT MAX(number) FROM heads) - ?", (MOST_HEADS,)
    )


def read_heads(
    connection: sqlite3.Connection, after: int, most: int
) -> list[tuple[int, DeviceHead, int]]:
    """(number, head, received) of kept heads after a number, in order."""
    rows = connection.execute(
        "SELECT number, size, root, timestamp, device, cosignatures, received FROM heads "
        "WHERE number > ? ORDER BY number LIMIT ?",
        (after, most),
    )
    return [
        (
            number,
            DeviceHead(
                size=size, root=root, timestamp=timestamp, device=device, cosignatures=signed
            ),
            received,
        )
        for number, size, root, timestamp, device, signed, received in rows
    ]
