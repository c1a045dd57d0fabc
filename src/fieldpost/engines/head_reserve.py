# SPDX-License-Identifier: Apache-2.0
"""Room on the disk that is kept for heads, so that a full disk costs posts and not freshness.

    DATA/reserve        random bytes, which no file system can make smaller

Devices call a board stale whose head is not cosigned for their maker's `max_age`; a post can wait.
So posts end before the disk does, and where something else fills it to the last byte, every head
that cannot be written gets a piece of this file's room. A file holds against other writers and
against quotas, which a look at the free room would not see. Where it is files that are too many,
it gives itself away: a head takes one for a moment, and the checkpoint that it replaces gives one
back. It is made whole again once there is room for it and for a batch; until then no post is taken.
"""

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from fieldpost.durable import OS, Disk, DiskFull, free_bytes, open_partial, remove, write_file
from fieldpost.errors import Unavailable
from fieldpost.journal import tell

NAME: Final = "reserve"
# More than a checkpoint with post-quantum cosignatures, so that one piece is enough for a head.
PIECE_BYTES: Final = 16 * 1024
# A batch is in the log, in tiles that are written anew, and in the write-ahead log of state.db.
_LEAST_COPIES: Final = 4
_LEAST_BYTES: Final = 1024 * 1024
# A batch of 2,048 posts and their state leaf takes at most 10 bundles, as many tiles, 8 tiles of
# upper levels, and a directory for each of the two kinds that is incomplete on each level.
_LEAST_FILES: Final = 64
_AGAIN_S: Final = 10.0
T = TypeVar("T")

_log = logging.getLogger(__name__)


def free_files(directory: Path) -> int | None:
    """How many more files its disk takes; None where nobody counts them. Raises Unavailable."""
    try:
        found = os.statvfs(directory)
    except OSError as error:
        raise Unavailable(f"cannot ask for the room below {directory}: {error.strerror}") from error
    return found.f_favail if found.f_files else None


class HeadReserve:
    """The file below `data`, of `wanted_bytes`; 0 for none. For whoever writes the board."""

    def __init__(self, data: Path, wanted_bytes: int, *, disk: Disk = OS) -> None:
        self._path = data / NAME
        self._wanted = wanted_bytes
        self._disk = disk
        self._is_told = False
        self._batch_bytes = 0
        self._not_before = float("-inf")
        self.held_bytes = self._path.stat().st_size if self._path.exists() else 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it was given up."""
        return self.held_bytes >= self._wanted

    def check_whole(self) -> None:
        """Raises DiskFull while a part of it is given up."""
        if not self.is_whole:
            raise DiskFull(
                f"the disk is full: what room there is is kept for heads ({self.held_bytes} of "
                f"{self._wanted} bytes are left); free some space, it goes on by itself"
            )

    def check_room(self, batch_bytes: int) -> None:
        """It is whole, and there is room for a batch beside it. Raises DiskFull, Unavailable."""
        if not self._wanted:
            return
        try:
            self.check_whole()
            self._batch_bytes = batch_bytes
            self._check_free(_LEAST_BYTES + _LEAST_COPIES * batch_bytes)
        except DiskFull as error:
            self.tell_full(error)
            raise

    def check_again(self) -> None:
        """There is room for the rest of the last batch. Raises DiskFull, Unavailable.

        That is its state: of the log it may have had its part already.
        """
        if self._wanted:
            self._check_free(_LEAST_BYTES + self._batch_bytes)

    def _check_free(self, needed: int) -> None:
        free, files = free_bytes(self._path.parent), free_files(self._path.parent)
        if free < needed:
            raise DiskFull(
                f"the disk is full: {free} bytes are free, and a batch needs {needed}; free "
                "some space, it goes on by itself"
            )
        if files is not None and files < _LEAST_FILES:
            raise DiskFull(
                f"the disk is full: it takes {files} more files, however small, and a batch needs "
                f"{_LEAST_FILES}; remove some files, it goes on by itself"
            )

    def carry(self, work: Callable[[], T]) -> T:
        """What `work` returns; while the disk is too full for it, pieces are given up for it.

        Each is twice as large as the one before, so that work which takes long and needs much is
        not begun hundreds of times. At last, and at once where files are too many, the file itself
        goes. Raises what `work` raises, Unavailable of a full disk too once nothing is left.
        """
        piece = PIECE_BYTES
        while True:
            try:
                return work()
            except Unavailable as error:
                if not self._path.exists() or not self.is_for_room(error):
                    raise
                self.tell_full(error)
                if not self.held_bytes or free_files(self._path.parent) == 0:
                    remove(self._path, disk=self._disk)
                    self.held_bytes = 0
                else:
                    self._cut(max(self.held_bytes - piece, 0))
                    piece *= 2

    def restore(self, now: float) -> None:
        """Make it whole, if there is room for all of it and for a batch; else it stays as it is.

        `now`: seconds since any moment; after a failure it is tried again 10 s later.
        """
        missing = self._wanted - self.held_bytes
        if now < self._not_before or not (missing or self._is_told):
            return
        self._not_before = now + _AGAIN_S
        with suppress(Unavailable):
            if missing < 0:
                self._cut(self._wanted)
            else:
                self._check_free(missing + _LEAST_BYTES)
                if missing:
                    self._fill(self.held_bytes)
                if self._is_told:
                    self._check_free(_LEAST_BYTES + _LEAST_COPIES * self._batch_bytes)
                    self._is_told = False
                    tell(_log, "disk-has-room")

    def _fill(self, held: int) -> None:
        try:
            with open_partial(self._path, mode=0o600, disk=self._disk) as file:
                # The batch's room too, for a moment: a quota is seen by nothing else.
                while (left := self._wanted + _LEAST_BYTES - file.size) > 0:
                    file.append(os.urandom(min(left, _LEAST_BYTES)))
                file.sync()
                file.truncate(self._wanted)
        except Unavailable:
            self._cut(held)
            raise
        self.held_bytes = self._wanted

    def is_for_room(self, error: Unavailable) -> bool:
        """Whether room would help. SQLite does not tell a quota from a broken disk: then try."""
        if isinstance(error, DiskFull):
            return True
        if not isinstance(error.__cause__, sqlite3.Error):
            return False
        probe = self._path.with_name("writable")
        try:
            write_file(probe, bytes(_LEAST_BYTES), disk=self._disk)
            remove(probe, disk=self._disk)
        except DiskFull:
            return True
        return False

    def _cut(self, size: int) -> None:
        with open_partial(self._path, mode=0o600, disk=self._disk) as file:
            # Never longer: a hole holds no room. After an fsync that failed nothing is left.
            size = min(size, file.size)
            file.truncate(size)
        self.held_bytes = size

    def tell_full(self, error: Unavailable) -> None:
        """Say so in the log, once until there is room again."""
        if not self._is_told:
            self._is_told = True
            tell(_log, "disk-full", reserve_bytes=self.held_bytes, error=error)
