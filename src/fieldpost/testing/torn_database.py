# SPDX-License-Identifier: Apache-2.0
"""What a power cut inside a SQLite commit or checkpoint may leave of the database's files.

    before = read_database(path)
    …                                   one commit, or one checkpoint
    for files in torn_databases(before, read_database(path), chance=Random(seed)):
        write_database(copy, files)     the next start finds this

SQLite writes past a `Disk`. With journal_mode=WAL and synchronous=FULL it promises: the write-ahead
log is synced before COMMIT returns, it is synced before a checkpoint writes to the database, and
the database is synced before the log is begun anew. So inside a commit only the log can be torn,
inside a checkpoint only the database: each of their sectors is then old or new, in any order.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fieldpost.testing.survivors import Chance
from fieldpost.testing.volatile_tree import SECTOR_BYTES

Files = dict[str, bytes]
_SUFFIXES: Final = ("", "-wal")
_FRAME_HEADER_BYTES: Final = 24
_LOG_HEADER_BYTES: Final = 32


def read_database(path: Path) -> Files:
    """The database and its log as they stand, by suffix; what is not there is empty."""
    found: Files = {}
    for suffix in _SUFFIXES:
        file = path.with_name(path.name + suffix)
        found[suffix] = file.read_bytes() if file.exists() else b""
    return found


def write_database(path: Path, files: Files) -> None:
    """Put `files` where `path` and its log are; the index in memory is gone with the power."""
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    for suffix, content in files.items():
        path.with_name(path.name + suffix).write_bytes(content)


def torn_databases(
    before: Files, after: Files, *, chance: Chance, by_lot: int = 20
) -> Iterator[Files]:
    """The files of before and of after, and everything between that is legal: the new log cut
    behind every frame and inside of it, and `by_lot` mixtures of old and new sectors."""
    yield before
    yield after
    if after[""] == before[""]:
        for size in _cuts(before["-wal"], after["-wal"]):
            old_rest = before["-wal"][size:]
            yield {"": before[""], "-wal": after["-wal"][:size] + old_rest}
            yield {"": before[""], "-wal": after["-wal"][:size]}
    for _ in range(by_lot):
        if after[""] == before[""]:
            yield {"": before[""], "-wal": _mix(before["-wal"], after["-wal"], chance)}
        else:
            yield {"": _mix(before[""], after[""], chance), "-wal": before["-wal"]}


def _cuts(before: bytes, after: bytes) -> Iterator[int]:
    """Where the new part of a log may end: at each frame, in its header, and in its page."""
    page_bytes = int.from_bytes(after[8:12], "big") if len(after) >= _LOG_HEADER_BYTES else 0
    frame_bytes = _FRAME_HEADER_BYTES + page_bytes
    same = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), None)
    first = min(len(before), len(after)) if same is None else same
    at = _LOG_HEADER_BYTES
    while page_bytes and at <= len(after):
        for size in (at, at + _FRAME_HEADER_BYTES // 2, at + frame_bytes // 2):
            if first <= size < len(after):
                yield size
        at += frame_bytes


def _mix(old: bytes, new: bytes, chance: Chance) -> bytes:
    """Some sectors of `old` and some of `new`; the length is one of theirs."""
    size = len(new) if chance.randrange(4) else len(old)
    mixed = bytearray()
    for at in range(0, size, SECTOR_BYTES):
        end = min(at + SECTOR_BYTES, size)
        mixed += (old, new)[chance.randrange(2)][at:end].ljust(end - at, b"\0")
    return bytes(mixed)
