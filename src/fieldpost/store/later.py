# SPDX-License-Identifier: Apache-2.0
"""What waits in `state.db` for its tables: written keys, and receipts.

    later (size of the log after a batch, keys and values, digests and indexes)

Keys and digests are hashes, so the rows of a batch lie all over their tables, nearly each in a page
of its own, and most keys of a busy board are written again by the next batches. So a batch appends
one row to `later`, and what waits goes into the tables together once it is many.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from struct import pack, unpack
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed

_DIGEST_BYTES: Final = 32
_INDEX_BYTES: Final = 8
# Of at most three values each, far below what SQLite takes in one statement.
_ROWS_AT_ONCE: Final = 200
_UPSERT: Final = (
    "INSERT INTO state VALUES {} ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
# Whoever had the file open before may have put the same rows there, when it was closed.
_RECEIPT_UPSERT: Final = (
    "INSERT INTO receipt VALUES {} ON CONFLICT (digest) "
    "DO UPDATE SET position = excluded.position, size = excluded.size"
)

# (index, size of the log after the batch) by the SHA-256 of an entry.
Receipts = Mapping[bytes, tuple[int, int]]


class Later:
    """What waits: the newest value of each key, and the receipts.

    `count` is how many keys and receipts the rows have, those that were replaced since too; `size`
    that of the log after the newest batch that was read from the file, 0 if none was.
    """

    __slots__ = ("count", "receipts", "size", "writes")

    def __init__(self) -> None:
        self.writes: dict[bytes, bytes] = {}
        self.receipts: dict[bytes, tuple[int, int]] = {}
        self.count = 0
        self.size = 0

    def add(self, writes: Mapping[bytes, bytes], receipts: Receipts) -> None:
        """What one more batch brings."""
        self.writes.update(writes)
        self.receipts.update(receipts)
        self.count += len(writes) + len(receipts)


def read_later(db: sqlite3.Connection, most: int | None = None) -> Later:
    """What waits in the file; of the oldest batches no more than `most` keys and receipts.

    Raises Malformed for what `append_later` never wrote.
    """
    later = Later()
    for size, vals, receipts in db.execute("SELECT * FROM later ORDER BY size"):
        writes: dict[bytes, bytes] = {}
        for key, value in decode_pairs(vals):
            if value is None:
                raise Malformed("a key that waits without a value")
            writes[key] = value
        places = {d: (index, size) for d, index in _decode_receipts(receipts)}
        if most is not None and later.count + len(writes) + len(places) > most:
            break
        later.add(writes, places)
        later.size = size
    return later


def append_later(
    db: sqlite3.Connection,
    size: int,
    writes: Mapping[bytes, bytes],
    receipts: Sequence[tuple[bytes, int]],
) -> None:
    """Append what one batch writes; `size` is that of the log after it."""
    row = size, encode_pairs(writes), _encode_receipts(receipts)
    db.execute("INSERT INTO later VALUES (?, ?, ?)", row)


def put(db: sqlite3.Connection, writes: Mapping[bytes, bytes], receipts: Receipts) -> None:
    """Put rows into their tables, many in a statement, those that lie together one by one."""
    _insert(db, _UPSERT, sorted(writes.items()))
    rows = sorted((digest, *place) for digest, place in receipts.items())
    _insert(db, _RECEIPT_UPSERT, rows)


def _insert(db: sqlite3.Connection, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows of one width, many in a statement.

    The interpreter's lock is given back for each statement and not for each row, so that other
    threads check the next posts meanwhile; and it is a third cheaper.
    """
    whole = len(rows) - len(rows) % _ROWS_AT_ONCE
    for start in range(0, whole, _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        db.execute(sql.format(places(len(some), len(some[0]))), [v for row in some for v in row])
    if whole < len(rows):
        db.executemany(sql.format(places(1, len(rows[whole]))), rows[whole:])


def places(rows: int, width: int) -> str:
    """Question marks for rows of values."""
    return ",".join(["(" + ",".join("?" * width) + ")"] * rows)


def encode_pairs(pairs: Mapping[bytes, bytes] | Mapping[bytes, bytes | None]) -> bytes:
    """Key, value, key, value…; a value may be None."""
    return cbor.encode(tuple(chain.from_iterable(pairs.items())))


def decode_pairs(data: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """What `encode_pairs` was given. Raises Malformed for what it never wrote."""
    items = cbor.decode(data)
    if not isinstance(items, tuple) or len(items) % 2:
        raise Malformed("no pairs of keys and values")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, bytes) or not isinstance(value, bytes | None):
            raise Malformed("no pairs of keys and values")
        yield key, value


def _encode_receipts(receipts: Sequence[tuple[bytes, int]]) -> bytes:
    """Digests of 32 bytes and indexes: all digests, all indexes."""
    indexes = pack(f">{len(receipts)}Q", *(index for _, index in receipts))
    return b"".join([digest for digest, _ in receipts]) + indexes


def _decode_receipts(data: bytes) -> Iterator[tuple[bytes, int]]:
    count, rest = divmod(len(data), _DIGEST_BYTES + _INDEX_BYTES)
    if rest:
        raise Malformed("receipts that are cut off")
    digests = (data[n * _DIGEST_BYTES : (n + 1) * _DIGEST_BYTES] for n in range(count))
    return zip(digests, unpack(f">{count}Q", data[count * _DIGEST_BYTES :]), strict=True)
