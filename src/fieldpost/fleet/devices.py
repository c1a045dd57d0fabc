# SPDX-License-Identifier: Apache-2.0
"""Rows of the fleet database about devices: where each stands, and what it last reported.

Many are read in one statement. Between two statements other threads run, and a writer that asks
for each device waits for them each time.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fieldpost.fleet.clones import NOTHING

# Values of one statement; SQLite takes 32,766.
_AT_ONCE: Final = 4_096
_CHANGE_ALIKE: Final = (
    "INSERT INTO seen VALUES {} ON CONFLICT DO UPDATE SET boot = excluded.boot, "
    "counter = excluded.counter, running = excluded.running, received = excluded.received, "
    "report = excluded.report, past = excluded.past, size = excluded.size"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a device stands: its lot, its index there, and its leaf."""

    lot: bytes
    index: int
    leaf: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A device's newest report. `running` is the release that it says runs, None if it says none;
    `received` in Unix seconds, `report` the bytes as signed, `past` some reports up to it
    (`clones`). `size` is that of the head that it names, None if it names none or an older program
    wrote the row."""

    class_id: bytes
    boot: int
    counter: int
    outcome: str
    running: int | None
    received: int
    report: bytes
    past: bytes = NOTHING
    size: int | None = None


def load_places(connection: sqlite3.Connection, devices: Sequence[bytes]) -> dict[bytes, Place]:
    """Where each of some devices stands that stands anywhere."""
    rows = _ask(
        connection,
        "SELECT device, lot, idx, leaf FROM devices JOIN leaves USING (lot, idx) "
        "WHERE device IN ({})",
        devices,
    )
    return {device: Place(lot=lot, index=idx, leaf=leaf) for device, lot, idx, leaf in rows}


def load_other_places(
    connection: sqlite3.Connection, devices: Sequence[bytes]
) -> dict[bytes, list[tuple[bytes, int]]]:
    """(lot, index) wherever else the keys of some devices stand."""
    found: dict[bytes, list[tuple[bytes, int]]] = {}
    rows = _ask(connection, "SELECT device, lot, idx FROM again WHERE device IN ({})", devices)
    for device, lot, idx in rows:
        found.setdefault(device, []).append((lot, idx))
    return found


def load_seen(connection: sqlite3.Connection, devices: Sequence[bytes]) -> dict[bytes, Seen]:
    """The newest report of each of some devices that reported."""
    rows = _ask(
        connection,
        "SELECT device, class, boot, counter, outcome, running, received, report, past, size "
        "FROM seen WHERE device IN ({})",
        devices,
    )
    return {
        device: Seen(
            class_id=class_id,
            boot=boot,
            counter=counter,
            outcome=outcome,
            running=running,
            received=received,
            report=report,
            past=past,
            size=size,
        )
        for device, class_id, boot, counter, outcome, running, received, report, past, size in rows
    }


def save_all_seen(
    connection: sqlite3.Connection,
    seen: Iterable[tuple[bytes, Seen]],
    before: Mapping[bytes, Seen | None],
) -> None:
    """Replace the newest reports of some devices; `before` is what their rows say now.

    Most devices say what they said before, of the same class: then the index of both stays as it
    is. To write it again costs as much as the row, and pages all over the file.
    """
    new: list[tuple[object, ...]] = []
    alike: list[tuple[object, ...]] = []
    for device, one in seen:
        old = before.get(device)
        is_alike = old is not None and (old.class_id, old.outcome) == (one.class_id, one.outcome)
        (alike if is_alike else new).append(_row(device, one))
    with_rows(connection, "INSERT OR REPLACE INTO seen VALUES {}", new)
    with_rows(connection, _CHANGE_ALIKE, alike)


def _row(device: bytes, one: Seen) -> tuple[object, ...]:
    return (
        device,
        one.class_id,
        one.boot,
        one.counter,
        one.outcome,
        one.running,
        one.received,
        one.report,
        one.past,
        one.size,
    )


def with_rows(
    connection: sqlite3.Connection, sql: str, rows: Sequence[tuple[object, ...]]
) -> list[tuple[Any, ...]]:
    """Run `sql` with rows of equal width behind VALUES, many at once, in order. What it selects."""
    if not rows:
        return []
    found: list[tuple[Any, ...]] = []
    marks, most = "(" + ",".join("?" * len(rows[0])) + ")", _AT_ONCE // len(rows[0])
    for start in range(0, len(rows), most):
        some = rows[start : start + most]
        values = [value for row in some for value in row]
        found += connection.execute(sql.format(",".join([marks] * len(some))), values).fetchall()
    return found


def _ask(
    connection: sqlite3.Connection, sql: str, devices: Sequence[bytes]
) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(devices), _AT_ONCE):
        some = devices[start : start + _AT_ONCE]
        yield from connection.execute(sql.format(",".join("?" * len(some))), some).fetchall()
