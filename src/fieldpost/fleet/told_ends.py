# SPDX-License-Identifier: Apache-2.0
"""Rows of the fleet database about how releases ended on devices: the newest word, and the first.

A device says again and again that the release which it runs is confirmed. What is known already is
looked up, many in a statement, and written by none: no page changes, and no index.
"""

import sqlite3
from collections.abc import Mapping, Sequence

from fieldpost.fleet.devices import with_rows
from fieldpost.fleet.ends import MOST_ENDS_OF_DEVICE

Key = tuple[bytes, bytes, int, str]
"""Device, class, sequence of the release, outcome."""


def save_results(
    connection: sqlite3.Connection, results: Sequence[tuple[bytes, int, bytes, str]]
) -> None:
    """Say how releases ended: (class, sequence, device, outcome), each the newest word."""
    sql = (
        "INSERT INTO results VALUES {} ON CONFLICT DO UPDATE "
        "SET outcome = excluded.outcome WHERE outcome <> excluded.outcome"
    )
    with_rows(connection, sql, results)


def keep_ends(connection: sqlite3.Connection, ends: Mapping[Key, tuple[int, bytes]]) -> None:
    """Keep the time and the bytes of a report that told an end, where it is the first to.

    What is kept never changes. A device whose key was stolen cannot fill the disk.
    """
    sql = (
        # Each of the values is looked up in the index of `ends`, in this order.
        "SELECT device, class, sequence, outcome FROM (VALUES {}) CROSS JOIN ends "
        "ON device = column1 AND class = column2 AND sequence = column3 AND outcome = column4"
    )
    known = set(with_rows(connection, sql, list(ends)))
    connection.executemany(
        "INSERT INTO ends (device, class, sequence, outcome, received, report) "
        "SELECT ?1, ?2, ?3, ?4, ?5, ?6 "
        "WHERE (SELECT COUNT(*) FROM ends WHERE device = ?1) < ?7",
        ((*key, *end, MOST_ENDS_OF_DEVICE) for key, end in ends.items() if key not in known),
    )
