# SPDX-License-Identifier: Apache-2.0
"""The system calls that change a disk: the port, and the real one.

Every change of `fieldpost.durable` goes through a `Disk`, so that tests can let any one of them
fail, and ask what a power cut leaves.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from typing import Final, Protocol


class Disk(Protocol):
    """The system calls that change a disk. Each raises OSError."""

    def open(self, path: Path, flags: int, mode: int) -> int:
        """Open a file (or a directory, to fsync it): its descriptor."""
        ...

    def write(self, fd: int, data: memoryview) -> int:
        """Write from the descriptor's position: how many bytes were taken."""
        ...

    def seek_end(self, fd: int) -> int:
        """Go to the end of the file: its size in bytes."""
        ...

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file to `size` bytes, and go there."""
        ...

    def fsync(self, fd: int) -> None:
        """Wait until file or directory is on the medium."""
        ...

    def fsync_many(self, fds: Sequence[int]) -> None:
        """`fsync` of all of them, in whatever order; every one is tried."""
        ...

    def close(self, fd: int) -> None:
        """Give the descriptor back."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Put `source` in the place of `target`, atomically."""
        ...

    def link(self, source: Path, target: Path) -> None:
        """Give `source` a second name, unless the name is taken."""
        ...

    def symlink(self, pointing_to: str, path: Path) -> None:
        """Make a symbolic link."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        ...

    def mkdir(self, path: Path, mode: int) -> None:
        """Make one directory."""
        ...

    def rmdir(self, path: Path) -> None:
        """Remove an empty directory."""
        ...


class OsDisk:
    """The real disk."""

    def open(self, path: Path, flags: int, mode: int) -> int:
        """See `Disk`."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def write(self, fd: int, data: memoryview) -> int:
        """See `Disk`."""
        return os.write(fd, data)

    def seek_end(self, fd: int) -> int:
        """See `Disk`."""
        return os.lseek(fd, 0, os.SEEK_END)

    def truncate(self, fd: int, size: int) -> None:
        """See `Disk`."""
        os.ftruncate(fd, size)
        os.lseek(fd, size, os.SEEK_SET)

    def fsync(self, fd: int) -> None:
        """See `Disk`."""
        os.fsync(fd)

    def fsync_many(self, fds: Sequence[int]) -> None:
        """See `Disk`. At the same time, because a journal then writes once and not for each."""
        if not fds:
            return
        *others, own = fds
        synced = [_side_by_side().submit(os.fsync, fd) for fd in others]
        try:
            # One is this thread's own, which only waits otherwise: nobody is woken for it.
            os.fsync(own)
        finally:
            # Nobody may close a descriptor that is still at work.
            wait(synced)
        for one in synced:
            one.result()

    def close(self, fd: int) -> None:
        """See `Disk`."""
        os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        source.replace(target)

    def link(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        target.hardlink_to(source)

    def symlink(self, pointing_to: str, path: Path) -> None:
        """See `Disk`."""
        path.symlink_to(pointing_to)

    def unlink(self, path: Path) -> None:
        """See `Disk`."""
        path.unlink()

    def mkdir(self, path: Path, mode: int) -> None:
        """See `Disk`."""
        path.mkdir(mode)

    def rmdir(self, path: Path) -> None:
        """See `Disk`."""
        path.rmdir()


@cache
def _side_by_side() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_FSYNCS_AT_ONCE, "fieldpost-fsync")


OS: Final[Disk] = OsDisk()

_FSYNCS_AT_ONCE: Final = 8
