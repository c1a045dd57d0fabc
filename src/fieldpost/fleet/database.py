# SPDX-License-Identifier: Apache-2.0
"""The fleet's own SQLite file: lots' leaves, where each device stands, and what it last reported.

    lots     lot, class, count, root, entry               as posted on the board, and where
    leaves   lot, index, leaf                             the bytes that hash to the root
    devices  device, lot, index                           the first lot of a key, in log order
    again    device, lot, index                           where else the key stands
    seen     device, class, boot, counter, outcome …      its newest report, and what it says runs
    clones   device, reason, received                     signs that a key is in two places
    results  class, sequence, device, outcome             how a release ended on a device
    ends     device, class, sequence, outcome, report …   the first report of each such end
    heads    size, root, T, device, cosignatures          heads of the log that devices verified
    evidence heads, data                                  two heads that exclude each other

WAL with synchronous=FULL: a commit that returned survives a power cut. One thread writes; reads
have a connection of their own.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fieldpost.database import connect, is_full
from fieldpost.durable import DiskFull
from fieldpost.errors import Misconfigured, NotFound, Unavailable
from fieldpost.fleet.at_hand import AtHand
from fieldpost.fleet.devices import Place, Seen, load_places, load_seen
from fieldpost.fleet.ends import End
from fieldpost.fleet.evidence import KeptEvidence, keep_evidence, read_evidence
from fieldpost.fleet.heads import DeviceHead, read_heads
from fieldpost.fleet.migrations import migrate

_ENDS_AT_ONCE: Final = 10_000


class FleetDb:
    """The database, brought to the newest version. Raises Unavailable where SQLite fails,
    Misconfigured for a file that is damaged or that a newer program wrote."""

    def __init__(self, path: Path) -> None:
        with _told_of_damage(path), _explained():
            self._writer = connect(path)
            try:
                migrate(self._writer, path)
                self._reader = connect(path)
            except BaseException:
                self._writer.close()
                raise
        self._reading = threading.Lock()
        self._at_hand = AtHand(self._writer)

    def close(self) -> None:
        """Close both connections; call after the writing thread has ended."""
        with self._reading, _explained():
            self._reader.close()
            self._writer.close()

    # --- for the writing thread ---

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is durable when this returns, or none of it was written."""
        with _explained():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._at_hand.write()
                self._writer.execute("COMMIT")
            except BaseException:
                self._at_hand.forget()
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @property
    def at_hand(self) -> AtHand:
        """What the batch at hand asks of devices and says of them."""
        return self._at_hand

    def mark_clone(self, device: bytes, reason: str, received: int) -> None:
        """Keep the first sign that a device's key is in two places."""
        self._writer.execute(
            "INSERT OR IGNORE INTO clones VALUES (?, ?, ?)", (device, reason, received)
        )

    def save_lot(
        self,
        *,
        lot: bytes,
        class_id: bytes,
        root: bytes,
        entry: int,
        devices: Sequence[bytes],
        leaves: Iterable[bytes],
    ) -> None:
        """Save a lot with the id and the leaf of every device.

        A key's lot is the one with the smallest `entry`, whatever order lots come in.
        """
        self._at_hand.write()
        self._writer.execute(
            "INSERT OR IGNORE INTO lots VALUES (?, ?, ?, ?, ?)",
            (lot, class_id, len(devices), root, entry),
        )
        self._writer.executemany(
            "INSERT OR IGNORE INTO leaves VALUES (?, ?, ?)",
            ((lot, index, leaf) for index, leaf in enumerate(leaves)),
        )
        before = self._writer.total_changes
        self._writer.executemany(
            "INSERT OR IGNORE INTO devices VALUES (?, ?, ?)",
            # In the order of the index, or each of a million would touch another page of it.
            sorted((device, lot, index) for index, device in enumerate(devices)),
        )
        if self._writer.total_changes - before < len(devices):
            for index, device in enumerate(devices):
                self._settle_place(device, lot, entry, index)

    def _settle_place(self, device: bytes, lot: bytes, entry: int, index: int) -> None:
        """Decide which place of a key is its first."""
        old_lot, old_index, old_entry = self._writer.execute(
            "SELECT lot, idx, entry FROM devices JOIN lots USING (lot) WHERE device = ?", (device,)
        ).fetchone()
        if (old_lot, old_index) == (lot, index):
            return
        if (old_entry, old_index) < (entry, index):
            self._writer.execute(
                "INSERT OR IGNORE INTO again VALUES (?, ?, ?)", (device, lot, index)
            )
            return
        place, new = (device, old_lot, old_index), (lot, index, device)
        self._writer.execute("INSERT OR IGNORE INTO again VALUES (?, ?, ?)", place)
        self._writer.execute("DELETE FROM again WHERE lot = ? AND idx = ? AND device = ?", new)
        self._writer.execute("UPDATE devices SET lot = ?, idx = ? WHERE device = ?", new)
        # What it reported counts for the class that it has in its first lot.
        for table in ("seen", "results"):
            self._writer.execute(
                f"UPDATE {table} SET class = (SELECT class FROM lots WHERE lot = ?) "  # noqa: S608
                "WHERE device = ?",
                (lot, device),
            )

    def save_evidence(self, kept: KeptEvidence, received: int) -> None:
        """Keep evidence that was judged."""
        keep_evidence(self._writer, kept, received)

    # --- for everybody ---

    def _read(self, sql: str, values: Iterable[object]) -> list[tuple[object, ...]]:
        with self._reading, _explained():
            return self._reader.execute(sql, tuple(values)).fetchall()

    def has_lot(self, lot: bytes) -> bool:
        """Whether the leaves of a lot are here."""
        return bool(self._read("SELECT 1 FROM lots WHERE lot = ?", (lot,)))

    def find_place(self, device: bytes) -> Place:
        """Where a device stands. Raises NotFound."""
        with self._reading, _explained():
            place = load_places(self._reader, [device]).get(device)
        if place is None:
            raise NotFound("no lot whose leaves are here has this device")
        return place

    def places(self, device: bytes) -> list[tuple[bytes, int]]:
        """(lot, index) wherever a key stands, its first place first."""
        rows = self._read(
            "SELECT lot, idx FROM devices WHERE device = ?1 "
            "UNION ALL SELECT lot, idx FROM again WHERE device = ?1",
            (device,),
        )
        return [(lot, i) for lot, i in rows if isinstance(lot, bytes) and isinstance(i, int)]

    def find_seen(self, device: bytes) -> Seen | None:
        """A device's newest report."""
        with self._reading, _explained():
            return load_seen(self._reader, [device]).get(device)

    def clone_reason(self, device: bytes) -> str | None:
        """The first sign that the device's key is in two places."""
        rows = self._read("SELECT reason FROM clones WHERE device = ?", (device,))
        return str(rows[0][0]) if rows else None

    def clone_count(self, class_id: bytes) -> int:
        """How many devices of a class are marked."""
        return self._number(
            "SELECT COUNT(*) FROM clones JOIN seen USING (device) WHERE class = ?", (class_id,)
        )

    def leaves(self, lot: bytes) -> list[bytes]:
        """All leaves of a lot, in order."""
        rows = self._read("SELECT leaf FROM leaves WHERE lot = ? ORDER BY idx", (lot,))
        return [row[0] for row in rows if isinstance(row[0], bytes)]

    def device_count(self, class_id: bytes) -> int:
        """How many devices of a class stand in lots whose leaves are here, each counted once."""
        return self._number(
            "SELECT (SELECT SUM(count) FROM lots WHERE class = ?1) - "
            "(SELECT COUNT(*) FROM again JOIN lots USING (lot) WHERE class = ?1)",
            (class_id,),
        )

    def seen_count(self, class_id: bytes) -> int:
        """How many devices of a class have ever reported."""
        return self._number("SELECT COUNT(*) FROM seen WHERE class = ?", (class_id,))

    def heads(self, after: int, most: int) -> list[tuple[int, DeviceHead, int]]:
        """(number, head, received) of kept heads after a number, in order."""
        with self._reading, _explained():
            return read_heads(self._reader, after, most)

    def evidence(self, after: int) -> list[dict[str, object]]:
        """Kept evidence after a number, in order, as JSON."""
        with self._reading, _explained():
            return read_evidence(self._reader, after)

    def outcome_count(self, class_id: bytes, outcome: str) -> int:
        """How many devices of a class said this last."""
        return self._number(
            "SELECT COUNT(*) FROM seen WHERE class = ? AND outcome = ?", (class_id, outcome)
        )

    def first_end(self, class_id: bytes) -> int | None:
        """When the first report that is kept of a class came, in Unix seconds."""
        value = self._read("SELECT MIN(received) FROM ends WHERE class = ?", (class_id,))[0][0]
        return value if isinstance(value, int) else None

    def ends(self, class_id: bytes, start: int, end: int) -> Iterator[End]:
        """The kept reports of a class that came in [start, end), in order, read in pieces."""
        after = (start, 0)
        while True:
            rows = self._read(
                "SELECT received, number, device, sequence, outcome, report FROM ends "
                "WHERE class = ? AND (received, number) > (?, ?) AND received < ? "
                "ORDER BY received, number LIMIT ?",
                (class_id, *after, end, _ENDS_AT_ONCE),
            )
            for received, number, device, sequence, outcome, report in rows:
                assert isinstance(received, int)
                assert isinstance(number, int)
                assert isinstance(device, bytes)
                assert isinstance(sequence, int)
                assert isinstance(report, bytes)
                after = received, number
                yield End(device=device, sequence=sequence, outcome=str(outcome), report=report)
            if len(rows) < _ENDS_AT_ONCE:
                return

    def _number(self, sql: str, values: tuple[object, ...]) -> int:
        value = self._read(sql, values)[0][0]
        return value if isinstance(value, int) else 0

    def running_counts(self, class_id: bytes) -> list[tuple[int, int]]:
        """(sequence, devices) of every release that some device's newest report says it runs."""
        rows = self._read(
            "SELECT running, COUNT(*) FROM seen WHERE class = ? AND running IS NOT NULL "
            "GROUP BY running ORDER BY running",
            (class_id,),
        )
        return [(int(str(sequence)), int(str(count))) for sequence, count in rows]

    def result_counts(self, class_id: bytes) -> list[tuple[int, str, int]]:
        """(sequence, outcome, devices) of every release that a device told the end of."""
        rows = self._read(
            "SELECT sequence, outcome, COUNT(*) FROM results WHERE class = ? "
            "GROUP BY sequence, outcome ORDER BY sequence",
            (class_id,),
        )
        return [(int(str(s)), str(outcome), int(str(count))) for s, outcome, count in rows]


@contextmanager
def _told_of_damage(path: Path) -> Iterator[None]:
    """A file that SQLite cannot read will not be readable later either: no start by itself."""
    try:
        yield
    except Unavailable as error:
        cause = error.__cause__
        if isinstance(cause, sqlite3.OperationalError | sqlite3.ProgrammingError):
            raise
        raise Misconfigured(
            f"{path} is damaged ({cause}): put it back from a backup, since what devices reported "
            "is nowhere else; or move it away, and begin without"
        ) from error


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        family = DiskFull if is_full(error) else Unavailable
        raise family(f"the fleet database failed: {error}; check disk and permissions") from error
