# SPDX-License-Identifier: Apache-2.0
"""What one batch of reports asks of its devices and says of them: read at once, written at once.

    expect    before the batch: its devices are read, in three statements
    place, other_places, seen, save …      one report after the other, in memory
    write     after it, still in its transaction; nothing is at hand then

With a statement for each question a report took eight of them, and the writing thread waited after
each until the interpreter was its own again. A report sees what earlier ones of its batch said.
"""

import sqlite3
from collections.abc import Iterable

from fieldpost.fleet.devices import (
    Place,
    Seen,
    insert_many,
    load_other_places,
    load_places,
    load_seen,
    save_all_seen,
)
from fieldpost.fleet.ends import MOST_ENDS_OF_DEVICE, End
from fieldpost.fleet.heads import UNSIGNED, DeviceHead, keep_head


class AtHand:
    """One batch. For the thread that writes, inside its transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.forget()

    def forget(self) -> None:
        """Nothing is at hand: what was said and not written is gone."""
        self._places: dict[bytes, Place | None] = {}
        self._others: dict[bytes, list[tuple[bytes, int]]] = {}
        self._seen: dict[bytes, Seen | None] = {}
        self._new: dict[bytes, Seen] = {}
        self._results: dict[tuple[bytes, int, bytes], str] = {}
        self._ends: list[tuple[object, ...]] = []
        self._heads: set[tuple[int, bytes, bool]] = set()

    def expect(self, devices: Iterable[bytes]) -> None:
        """These will be asked for."""
        new = [device for device in dict.fromkeys(devices) if device not in self._places]
        if new:
            places = load_places(self._connection, new)
            others = load_other_places(self._connection, new)
            seen = load_seen(self._connection, new)
            for device in new:
                self._places[device] = places.get(device)
                self._others[device] = others.get(device, [])
                self._seen[device] = seen.get(device)

    def place(self, device: bytes) -> Place | None:
        """Where a device stands."""
        if device not in self._places:
            self.expect((device,))
        return self._places[device]

    def other_places(self, device: bytes) -> list[tuple[bytes, int]]:
        """(lot, index) wherever else a key stands."""
        if device not in self._others:
            self.expect((device,))
        return list(self._others[device])

    def seen(self, device: bytes) -> Seen | None:
        """A device's newest report."""
        if device not in self._seen:
            self.expect((device,))
        return self._seen[device]

    def save_seen(self, device: bytes, seen: Seen) -> None:
        """Replace the newest report of a device that was asked for."""
        self._seen[device] = self._new[device] = seen

    def save_result(self, *, class_id: bytes, sequence: int, device: bytes, outcome: str) -> None:
        """Say how a release ended on a device; the newest word counts."""
        self._results[class_id, sequence, device] = outcome

    def save_end(self, end: End, *, class_id: bytes, received: int) -> None:
        """Keep a report that told the end of a release, if it is the first to tell this one.

        What is kept never changes. A device whose key was stolen cannot fill the disk.
        """
        key = (end.device, class_id, end.sequence, end.outcome)
        self._ends.append((*key, received, end.report, MOST_ENDS_OF_DEVICE))

    def save_head(self, head: DeviceHead, received: int) -> None:
        """Keep a head that a device verified; see `keep_head`."""
        # A whole fleet verified the same one.
        key = (head.size, head.root, head.cosignatures == UNSIGNED)
        if key not in self._heads:
            self._heads.add(key)
            keep_head(self._connection, head, received)

    def write(self) -> None:
        """Write what was said, in order, and forget everything."""
        save_all_seen(self._connection, self._new.items())
        results = ((*key, outcome) for key, outcome in self._results.items())
        insert_many(self._connection, "INSERT OR REPLACE INTO results VALUES {}", results, width=4)
        self._connection.executemany(
            "INSERT OR IGNORE INTO ends (device, class, sequence, outcome, received, report) "
            "SELECT ?1, ?2, ?3, ?4, ?5, ?6 "
            "WHERE (SELECT COUNT(*) FROM ends WHERE device = ?1) < ?7",
            self._ends,
        )
        self.forget()
