# SPDX-License-Identifier: Apache-2.0
"""Room in a scratch folder: where it ends, that is said, and nothing of what was to be checked."""

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fieldpost.database import is_damage, is_full
from fieldpost.durable import OS, Disk, DiskFull, open_partial, remove
from fieldpost.errors import Unavailable

_STEP_BYTES: Final = 1024 * 1024
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def scratch_folder(prefix: str) -> "tempfile.TemporaryDirectory[str]":
    """A new folder in TMPDIR, or in /tmp where that is not set, and in no other place.

    What Python tries next would fill a disk that nobody chose. Raises DiskFull, Unavailable.
    """
    parent = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - mkdtemp makes it safely
    try:
        return tempfile.TemporaryDirectory(prefix=prefix, dir=parent)
    except OSError as error:
        family = DiskFull if error.errno in _FULL else Unavailable
        raise family(
            f"cannot make a folder in {parent} for copies of the databases: {error.strerror}; set "
            "TMPDIR to a folder on a disk with room, which this user may write",
            None,
        ) from error


@contextmanager
def room_in(scratch: Path, needed: int, *, disk: Disk = OS) -> Iterator[None]:
    """For work in the scratch folder: where its disk is full, say which one, and what to do.

    `needed`: the bytes of the database that is worked with. Raises DiskFull, and what the work
    raises for other reasons.
    """
    try:
        yield
    except Unavailable as error:
        if not _is_for_room(error, scratch, needed, disk):
            raise
        raise DiskFull(
            f"there is no room in {scratch.parent} for copies of the databases, as large as they "
            f"are, and nothing is said of this folder: make room there, or set TMPDIR to a folder "
            f"on another disk ({error})",
            None,
        ) from error


def _is_for_room(error: Unavailable, scratch: Path, needed: int, disk: Disk) -> bool:
    """Whether room would help. SQLite does not tell a quota from a broken disk: then try."""
    cause = error.__cause__
    if isinstance(error, DiskFull):
        return True
    if not isinstance(cause, sqlite3.Error) or is_damage(cause):
        return False
    if is_full(cause):
        return True
    if cause.sqlite_errorcode & 0xFF != sqlite3.SQLITE_IOERR:
        return False  # somebody else's lock, or no right
    probe = scratch / "room"
    try:
        # As large as what did not fit, of which nothing may be left.
        with open_partial(probe, disk=disk) as file:
            while file.size <= needed:
                file.append(bytes(_STEP_BYTES))
    except DiskFull:
        return True
    finally:
        remove(probe, disk=disk)
    return False
