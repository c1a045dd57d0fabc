# SPDX-License-Identifier: Apache-2.0
"""A disk that fails where a test says so, to show what survives.

    disk = FaultyDisk(fail_at=3)                    call 3 raises OSError and does nothing
    disk = FaultyDisk(fail_at=3, when="after")      call 3 takes effect, then raises
    disk = FaultyDisk(fail_at=3, power_cut=True)    call 3 and all later ones raise PowerCut

Calls count from 0 and are listed in `calls`; without `fail_at` the disk works, so a first run
tells how many calls there are. `largest_write` makes the system take that many bytes at a time.
It does not model a cache that loses unsynced writes: `calls` shows the order of the fsyncs.
"""

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, TypeVar

from fieldpost.durable import OS, Disk

_T = TypeVar("_T")
_UNLIMITED: Final = 1 << 62


class PowerCut(BaseException):
    """The machine stopped: nothing catches this but the test."""


class FaultyDisk:
    """A `fieldpost.durable.Disk` over a real one that counts calls and fails one of them."""

    def __init__(
        self,
        *,
        fail_at: int | None = None,
        when: Literal["before", "after"] = "before",
        power_cut: bool = False,
        error: int = errno.EIO,
        largest_write: int = _UNLIMITED,
        disk: Disk = OS,
    ) -> None:
        self.calls: list[str] = []
        self._fail_at = fail_at
        self._when = when
        self._power_cut = power_cut
        self._error = error
        self._largest_write = largest_write
        self._disk = disk

    def open(self, path: Path, flags: int, mode: int) -> int:
        """See `Disk`."""
        return self._call("open", lambda: self._disk.open(path, flags, mode), self._disk.close)

    def write(self, fd: int, data: memoryview) -> int:
        """See `Disk`."""
        return self._call("write", lambda: self._disk.write(fd, data[: self._largest_write]))

    def seek_end(self, fd: int) -> int:
        """See `Disk`."""
        return self._call("seek_end", lambda: self._disk.seek_end(fd))

    def truncate(self, fd: int, size: int) -> None:
        """See `Disk`."""
        self._call("truncate", lambda: self._disk.truncate(fd, size))

    def fsync(self, fd: int) -> None:
        """See `Disk`."""
        self._call("fsync", lambda: self._disk.fsync(fd))

    def fsync_many(self, fds: Sequence[int]) -> None:
        """See `Disk`; one after the other."""
        for fd in fds:
            self.fsync(fd)

    def close(self, fd: int) -> None:
        """See `Disk`. The descriptor is given back in any case, as the kernel does."""
        self._disk.close(fd)
        self._call("close", lambda: None)

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        self._call("rename", lambda: self._disk.rename(source, target))

    def link(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        self._call("link", lambda: self._disk.link(source, target))

    def symlink(self, pointing_to: str, path: Path) -> None:
        """See `Disk`."""
        self._call("symlink", lambda: self._disk.symlink(pointing_to, path))

    def unlink(self, path: Path) -> None:
        """See `Disk`."""
        self._call("unlink", lambda: self._disk.unlink(path))

    def mkdir(self, path: Path, mode: int) -> None:
        """See `Disk`."""
        self._call("mkdir", lambda: self._disk.mkdir(path, mode))

    def rmdir(self, path: Path) -> None:
        """See `Disk`."""
        self._call("rmdir", lambda: self._disk.rmdir(path))

    def _call(
        self, name: str, operation: Callable[[], _T], undo: Callable[[_T], None] | None = None
    ) -> _T:
        index = len(self.calls)
        self.calls.append(name)
        if self._fail_at is None or index < self._fail_at:
            return operation()
        if index > self._fail_at:
            if self._power_cut:
                raise PowerCut
            return operation()
        if self._when == "after":
            result = operation()
            # The caller never learns of a descriptor whose opening "failed".
            if undo is not None:
                undo(result)
        if self._power_cut:
            raise PowerCut
        raise OSError(self._error, os.strerror(self._error))
