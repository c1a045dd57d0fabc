# SPDX-License-Identifier: Apache-2.0
"""What a folder held when its check began: lists of files, copies of databases, keys and mark.

A node that runs goes on. Whatever it wrote down rests on entries that were in its log before; so
all of this is taken first, the end of the log last, and then each thing here is explained by the
log or never will be. What is new since is no business of this check.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from fieldpost.database import is_damage
from fieldpost.durable import DiskFull
from fieldpost.engines.keys_audit import KeyFiles, look_at_keys
from fieldpost.errors import FieldpostError, Unavailable
from fieldpost.store.read_faults import is_lost
from fieldpost.store.sqlite_copy import copy_database
from fieldpost.watch.fsck_report import Finding, Unchecked
from fieldpost.watch.fsck_room import room_in

COPY_AGAIN: Final = "copy it again from a mirror or a backup (docs/operations/lost-tail.md)"
KEYS_AGAIN: Final = "put it back from your copy of the keys"
# An older mark would allow a second history, and a copy of the keys may be old.
MARK_AGAIN: Final = (
    "put back no older one: that in your copy of the keys is right only if nothing was signed "
    "since (docs/operations/lost-tail.md)"
)
DATABASES: Final = {
    "state.db": "stop the node and run `fieldpost node rebuild`",
    "catalog.db": "stop the node and remove it; it is filled again from the log",
    "fleet.db": "stop the node and put it back from a backup; it is nowhere else",
}
# Two versions of a file differ in it.
_Version = tuple[int, int]


class FirstLook:
    """A folder when its check began. `told` is what could not be taken, `copies` the databases.

    `log` are the files below log, `blobs` the finished blobs and manifests with their versions,
    `keys` None where there are none. Raises Unavailable where `scratch` takes no copies.
    """

    def __init__(self, data: Path, scratch: Path) -> None:
        self.told: list[Finding | Unchecked] = []
        self.copies: dict[str, Path] = {}
        self.absent: list[str] = []
        self._scratch = scratch
        self.largest = max(_bytes_of(data / name) for name in DATABASES)
        self.keys: KeyFiles | None = None
        if (data / "keys").is_dir():
            self.keys = look_at_keys(data / "keys")
            unread = self.keys.unread.items()
            mark = self.keys.mark_path
            self.told += [
                tell_unread(path, error, MARK_AGAIN if path == mark else KEYS_AGAIN)
                for path, error in unread
            ]
        for name in DATABASES:
            self._copy(data / name)
        if self.keys is None:
            self.absent.append("keys")
        self.log = sorted(self._files(data / "log"))
        self.blobs: dict[Path, _Version] = {}
        for kind in ("sha256", "manifests"):
            for path in sorted(self._files(data / "blobs" / kind)):
                if not path.name.startswith("."):
                    with suppress(OSError):
                        self.blobs[path] = version_of(path)

    def _copy(self, path: Path) -> None:
        name = path.name
        if not path.exists():
            self.absent.append(name)
            return
        try:
            with room_in(self._scratch, self.largest):
                copy_database(path, self._scratch / name)
            self.copies[name] = self._scratch / name
        except DiskFull:
            raise
        except Unavailable as error:
            cause = error.__cause__
            if not isinstance(cause, sqlite3.Error | UnicodeDecodeError):
                raise
            if is_damage(cause):
                self.told.append(Finding(str(path), str(error), DATABASES[name]))
            else:
                self.told.append(Unchecked(f"what is in {name}", str(error)))

    def _files(self, folder: Path) -> Iterator[Path]:
        def unread(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                told = Unavailable(f"cannot list {error.filename}: {error.strerror}")
                told.__cause__ = error
                self.told.append(tell_unread(Path(error.filename), told, COPY_AGAIN))

        for parent, _, names in os.walk(folder, onerror=unread):
            yield from (Path(parent) / name for name in names)


def version_of(path: Path) -> _Version:
    """What tells a file from one that takes its place later. Raises OSError."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def tell_unread(path: Path, error: FieldpostError, advice: str) -> Finding | Unchecked:
    """A file that cannot be read: damage where the medium lost it, else nobody looked at it."""
    cause = error.__cause__
    if is_lost(cause) or not isinstance(error, Unavailable):
        return Finding(str(path), f"it cannot be read: {error}", advice)
    why = f"{error}; run this as a user who may" if isinstance(cause, PermissionError) else error
    return Unchecked(str(path), str(why))


def _bytes_of(database: Path) -> int:
    size = 0
    for suffix in ("", "-wal"):
        with suppress(OSError):
            size += database.with_name(database.name + suffix).stat().st_size
    return size
