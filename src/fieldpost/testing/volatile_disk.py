# SPDX-License-Identifier: Apache-2.0
"""A disk with a cache: what was not fsynced may be gone after a power cut, in part or in whole.

    disk = VolatileDisk(folder)
    write_file(folder / "record", b"…", disk=disk)
    for survivor in survivors(disk, chance=Random(1)): …          fieldpost.testing.survivors

Everything below `folder` is written for real, so that the program under test reads what it wrote;
fsync alone is only noted, so a test is as fast as memory. `on_change` is called after every change
and every fsync, named, with the lock held: what could survive a cut at that moment can be looked
at there. SQLite writes past a `Disk`; its files are copied as they stand, since a commit that
returned is durable (asserted elsewhere), and are torn by `fieldpost.testing.torn_database`.

`fsync_fails_at=n` lets the fsync of a file number n fail once, as Linux does it: what was to be
written is lost, the next fsync has nothing left to write and succeeds, and with `evicts` whoever
reads finds the old bytes.
"""

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from stat import S_IMODE
from threading import RLock

from fieldpost.testing.volatile_tree import (
    DirectoryNode,
    FileNode,
    LinkNode,
    Node,
    find_node,
    read_tree,
)


def is_database(name: str) -> bool:
    """Whether a file is one of SQLite's: the database, its log, its index."""
    return name.endswith((".db", ".db-wal", ".db-shm", ".db-journal"))


class VolatileDisk:
    """A `fieldpost.durable.Disk` over the directory `root`; what is there now is on the medium."""

    def __init__(
        self,
        root: Path,
        *,
        on_change: Callable[[str], None] = lambda _: None,
        fsync_fails_at: int | None = None,
        evicts: bool = False,
    ) -> None:
        self.root = root
        self.on_change = on_change
        self.fsyncs = 0
        self.tree = read_tree(root, is_outside=is_database)
        self.lock = RLock()
        self._fsync_fails_at = fsync_fails_at
        self._evicts = evicts
        self._open: dict[int, Node | None] = {}

    def open(self, path: Path, flags: int, mode: int) -> int:
        """See `Disk`."""
        with self.lock:
            existed = path.exists()
            fd = os.open(path, flags | os.O_CLOEXEC, mode)
            node = self._find(path)
            if not existed and self._is_inside(path):
                node = FileNode(S_IMODE(os.fstat(fd).st_mode))
                self._directory(path).change(adds=(path.name, node))
                self.on_change("open")
            self._open[fd] = node
            return fd

    def write(self, fd: int, data: memoryview) -> int:
        """See `Disk`."""
        with self.lock:
            offset = os.lseek(fd, 0, os.SEEK_CUR)
            taken = os.write(fd, data)
            node = self._open[fd]
            if isinstance(node, FileNode):
                node.writes.append((offset, bytes(data[:taken])))
                self.on_change("write")
            return taken

    def seek_end(self, fd: int) -> int:
        """See `Disk`."""
        return os.lseek(fd, 0, os.SEEK_END)

    def truncate(self, fd: int, size: int) -> None:
        """See `Disk`."""
        with self.lock:
            os.ftruncate(fd, size)
            os.lseek(fd, size, os.SEEK_SET)
            node = self._open[fd]
            if isinstance(node, FileNode) and size != len(node.whole()):
                node.writes.append((size, None))
                self.on_change("truncate")

    def fsync(self, fd: int) -> None:
        """See `Disk`."""
        with self.lock:
            node = self._open[fd]
            if isinstance(node, FileNode):
                number, self.fsyncs = self.fsyncs, self.fsyncs + 1
                if number == self._fsync_fails_at:
                    self._lose(fd, node)
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
            if isinstance(node, FileNode | DirectoryNode):
                node.keep()
                self.on_change("fsync")

    def fsync_many(self, fds: Sequence[int]) -> None:
        """See `Disk`; one after the other, so that a cut may come between any two."""
        for fd in fds:
            self.fsync(fd)

    def close(self, fd: int) -> None:
        """See `Disk`."""
        with self.lock:
            del self._open[fd]
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        with self.lock:
            source.replace(target)
            node = self._find(source)
            if node is None:
                return
            before, after = self._directory(source), self._directory(target)
            if before is after:
                before.change(removes=source.name, adds=(target.name, node))
            else:
                arrival = after.change(adds=(target.name, node))
                before.change(removes=source.name, after=arrival)
            self.on_change("rename")

    def link(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        with self.lock:
            target.hardlink_to(source)
            node = self._find(source)
            assert node is not None  # it was linked
            self._directory(target).change(adds=(target.name, node))
            self.on_change("link")

    def symlink(self, pointing_to: str, path: Path) -> None:
        """See `Disk`."""
        with self.lock:
            path.symlink_to(pointing_to)
            self._directory(path).change(adds=(path.name, LinkNode(pointing_to)))
            self.on_change("symlink")

    def unlink(self, path: Path) -> None:
        """See `Disk`."""
        with self.lock:
            path.unlink()
            self._directory(path).change(removes=path.name)
            self.on_change("unlink")

    def mkdir(self, path: Path, mode: int) -> None:
        """See `Disk`."""
        with self.lock:
            path.mkdir(mode)
            made = DirectoryNode(S_IMODE(path.stat().st_mode))
            self._directory(path).change(adds=(path.name, made))
            self.on_change("mkdir")

    def rmdir(self, path: Path) -> None:
        """See `Disk`."""
        with self.lock:
            path.rmdir()
            self._directory(path).change(removes=path.name)
            self.on_change("rmdir")

    def _lose(self, fd: int, node: FileNode) -> None:
        node.writes.clear()
        if self._evicts:
            os.ftruncate(fd, 0)
            os.pwrite(fd, node.kept, 0)

    def _is_inside(self, path: Path) -> bool:
        return path.is_relative_to(self.root)

    def _find(self, path: Path) -> Node | None:
        """The node at `path`; what lies above the root is no part of the model."""
        return find_node(self.tree, path.relative_to(self.root)) if self._is_inside(path) else None

    def _directory(self, path: Path) -> DirectoryNode:
        node = self._find(path.parent)
        if not isinstance(node, DirectoryNode):
            raise ValueError(f"{path} lies outside of {self.root}")
        return node
