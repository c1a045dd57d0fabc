# SPDX-License-Identifier: Apache-2.0
"""What a folder held when its check began: lists of files, copies of databases, keys and mark.

A node that runs goes on. Whatever it wrote down rests on entries that were in its log before; so
all of this is taken first, the end of the log last, and then each thing here is explained by the
log or never will be. What is new since is no business of this check.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from fieldpost.database import is_damage
from fieldpost.durable import DiskFull
from fieldpost.engines.keys_audit import KeyFiles, look_at_keys
from fieldpost.errors import FieldpostError, Malformed, Unavailable
from fieldpost.store.log_leftovers import BUNDLE_BYTES
from fieldpost.store.read_faults import NO_FILE, is_lost, why_not_read
from fieldpost.store.sqlite_copy import copy_database
from fieldpost.tlog.tiles import parse_entries_path, parse_tile_path
from fieldpost.watch.fsck_blobs import MOST_ENVELOPE
from fieldpost.watch.fsck_report import Finding, Unchecked
from fieldpost.watch.fsck_room import room_in

COPY_AGAIN: Final = "copy it again from a mirror or a backup (docs/operations/lost-tail.md)"
UPLOAD_AGAIN: Final = "remove it; its maker uploads it again"
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
        if self._is_there(data / "keys", KEYS_AGAIN):
            self.keys = look_at_keys(data / "keys")
            unread = self.keys.unread.items()
            mark = self.keys.mark_path
            self.told += [
                tell_unread(path, error, MARK_AGAIN if path == mark else KEYS_AGAIN)
                for path, error in unread
            ]
        for name in DATABASES:
            if self._is_there(data / name, DATABASES[name]):
                self._copy(data / name)
        self.log = sorted(self._files(data / "log", _is_log_file, COPY_AGAIN, BUNDLE_BYTES))
        self.blobs: dict[Path, _Version] = {}
        for kind, most in (("sha256", None), ("manifests", MOST_ENVELOPE)):
            for path in sorted(self._files(data / "blobs" / kind, _is_blob, UPLOAD_AGAIN, most)):
                if not path.name.startswith("."):
                    try:
                        self.blobs[path] = version_of(path)
                    except (FileNotFoundError, NotADirectoryError):
                        continue  # removed meanwhile
                    except OSError as error:
                        self._tell(path, error, UPLOAD_AGAIN)

    def _is_there(self, path: Path, advice: str) -> bool:
        """Whether a file or folder can be looked at; if not, that is told."""
        try:
            path.lstat()
        except FileNotFoundError:
            self.absent.append(path.name)
        except OSError as error:
            self._tell(path, error, advice)
        else:
            return True
        return False

    def _tell(self, path: Path, error: OSError, advice: str) -> None:
        told = Unavailable(f"cannot read {path}: {error.strerror}")
        told.__cause__ = error
        self.told.append(tell_unread(path, told, advice))

    def _copy(self, path: Path) -> None:
        name = path.name
        if (wrong := why_not_read(path)) is not None:
            self.told.append(Finding(str(path), wrong, DATABASES[name]))
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
            elif is_lost(_why_not_opened(path)):
                what = "it cannot be read: the disk reports an input/output error"
                self.told.append(Finding(str(path), what, DATABASES[name]))
            else:
                self.told.append(Unchecked(f"what is in {name}", str(error)))

    def _files(
        self, folder: Path, belongs: Callable[[str], bool], advice: str, most: int | None
    ) -> Iterator[Path]:
        """The files below `folder`; what is none, or longer than `most`, is told instead.

        `belongs`: whether a file may have this name, its path below `folder`; a folder may not.
        """

        def unread(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                told = Unavailable(f"cannot list {error.filename}: {error.strerror}")
                told.__cause__ = error
                self.told.append(tell_unread(Path(error.filename), told, advice))

        for parent, folders, names in os.walk(folder, onerror=unread):
            for path in (Path(parent) / name for name in folders):
                if belongs(path.relative_to(folder).as_posix()):
                    self.told.append(Finding(str(path), NO_FILE, advice))
            for path in (Path(parent) / name for name in names):
                if path == folder / "checkpoint":
                    continue  # the log's head is read and judged before all others
                if (wrong := why_not_read(path, most)) is not None:
                    self.told.append(Finding(str(path), wrong, advice))
                else:
                    yield path


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


def _is_log_file(name: str) -> bool:
    parse = parse_entries_path if name.startswith("tile/entries/") else parse_tile_path
    try:
        parse(name)
    except Malformed:
        return False
    return True


def _is_blob(name: str) -> bool:
    # Below folders that are named by its first digits.
    return len(name.rpartition("/")[2]) == 2 * sha256().digest_size


def _why_not_opened(path: Path) -> OSError | None:
    """Why a file cannot be opened; SQLite does not say."""
    try:
        with path.open("rb"):
            return None
    except OSError as error:
        return error


def _bytes_of(database: Path) -> int:
    size = 0
    for suffix in ("", "-wal"):
        with suppress(OSError):
            size += database.with_name(database.name + suffix).stat().st_size
    return size
