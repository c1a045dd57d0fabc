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
    load_other_places,
    load_places,
    load_seen,
    save_all_seen,
)
from fieldpost.fleet.ends import End
from fieldpost.fleet.heads import head_of, keep_head
from fieldpost.fleet.told_ends import Key, keep_ends, save_results
from fieldpost.identity.report import Report


class AtHand:
    """One batch. For the thread that writes, inside its transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.forget()

    def forget(self) -> None:
        """Nothing is at hand: what was said and not written is gone."""
        self._places: dict[bytes, Place | None] = {}
        self._others: dict[bytes, list[tuple[bytes, int]]] = {}
        self._before: dict[bytes, Seen | None] = {}
        self._seen: dict[bytes, Seen | None] = {}
        self._new: dict[bytes, Seen] = {}
        self._results: dict[tuple[bytes, int, bytes], str] = {}
        self._ends: dict[Key, tuple[int, bytes]] = {}
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
                self._before[device] = self._seen[device] = seen.get(device)

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
        """Keep a report that told the end of a release, if it is the first to tell this one."""
        key = (end.device, class_id, end.sequence, end.outcome)
        self._ends.setdefault(key, (received, end.report))

    def save_head(self, report: Report, received: int) -> None:
        """Keep the head that a report names, if it names one; see `keep_head`."""
        if report.head is None:
            return
        # A whole fleet verified the same one.
        size, root, _ = report.head
        key = (size, root, not report.cosignatures)
        if key not in self._heads:
            self._heads.add(key)
            keep_head(self._connection, head_of(report), received)

    def write(self) -> None:
        """Write what was said, in order, and forget everything."""
        save_all_seen(self._connection, self._new.items(), self._before)
        save_results(self._connection, [(*key, end) for key, end in self._results.items()])
        keep_ends(self._connection, self._ends)
        self.forget()
