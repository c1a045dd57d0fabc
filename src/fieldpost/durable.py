# SPDX-License-Identifier: Apache-2.0
"""Changes to files that survive a power cut: either the old content is there, whole, or the new.

Apart from slots and SQLite this is the only place that opens a file for writing. Every change
follows one order (rename(2), fsync(2)): write a temporary file beside the target, fsync it, put
it in place by one atomic step, fsync the directory. What a call returned from is on the disk; a
call that raised changed nothing, or has changed everything but may not be durable yet.

Every system call goes through a `Disk`, so that tests can let any one of them fail. OSError
becomes Unavailable with what to do, DiskFull where only room is missing; a path that is taken
becomes Conflict.
"""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from fieldpost.disk import OS as OS  # noqa: PLC0414 - whoever changes files gets both from here
from fieldpost.disk import Disk as Disk  # noqa: PLC0414 - as above
from fieldpost.errors import Conflict, Unavailable

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_LEFTOVER: Final = re.compile(r"\.[0-9a-f]{16}\.tmp")
_WHAT_TO_DO: Final = {
    errno.ENOSPC: "the disk is full: free some space and try again",
    errno.EDQUOT: "the quota is used up: free some space and try again",
    errno.EROFS: "the file system is read-only: remount it for writing",
    errno.EACCES: "permission denied: let this user write here",
    errno.EPERM: "not permitted here: the file system may lack hard links, or forbid the change",
    errno.ENOENT: "the directory does not exist",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
    errno.EIO: "the disk reports an input/output error: check its health",
}
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(Unavailable):
    """There is no room, or none that may be used up: nothing is wrong with the disk.

    `retry_after_s` lets somebody make room first.
    """

    def __init__(self, detail: str, retry_after_s: int | None = 600) -> None:
        super().__init__(detail, retry_after_s)


def free_bytes(directory: Path) -> int:
    """The room on the disk of a directory. Raises Unavailable."""
    try:
        return shutil.disk_usage(directory).free
    except OSError as error:
        raise Unavailable(f"cannot ask for the room below {directory}: {error.strerror}") from error


def write_file(path: Path, data: bytes, *, mode: int = 0o644, disk: Disk = OS) -> None:
    """Put `data` in the place of whatever `path` held, whole or not at all, and durably.

    Raises Unavailable. `mode` is that of the new file, less the umask.
    """
    with _explained(path):
        temporary = _write_temporary(path, data, mode, disk)
        _place(disk, temporary, lambda: disk.rename(temporary, path))
        _sync_directory(disk, path.parent)


def write_files(
    files: Mapping[Path, bytes],
    *,
    new: Iterable[Path] = (),
    mode: int = 0o644,
    disk: Disk = OS,
) -> None:
    """`write_file` for several files, all of which are waited for together.

    `new` are directories for them that may be missing, or whose names may not be durable; they
    are when this returns. Raises Unavailable; then some files may be new and some not, each whole.
    """
    directories = dict.fromkeys(path.parent for path in files)
    for directory in new:
        with _explained(directory):
            directories |= dict.fromkeys(_make_missing(directory, disk))
    if not directories:
        return
    temporaries = dict(zip(files, _temporaries_beside(files), strict=True))
    try:
        _fill_together({temporaries[path]: data for path, data in files.items()}, mode, disk)
        for path, temporary in temporaries.items():
            with _explained(path):
                disk.rename(temporary, path)
    except BaseException:
        for temporary in temporaries.values():
            with suppress(OSError):
                disk.unlink(temporary)
        raise
    _sync_directories(disk, list(directories))


def _make_missing(path: Path, disk: Disk) -> list[Path]:
    """Make a directory and those above it; the directories whose fsync makes all that durable."""
    if path.is_dir():
        return [path.parent]
    above = _make_missing(path.parent, disk)
    disk.mkdir(path, 0o755)
    return [*above, path.parent]


def _fill_together(files: Mapping[Path, bytes], mode: int, disk: Disk) -> None:
    """Write new files, and wait until all of them are on the medium."""
    if not files:
        return
    with _explained(next(iter(files)).parent), ExitStack() as opened:
        fds: list[int] = []
        for path, data in files.items():
            fd = disk.open(path, _NEW, mode)
            opened.callback(disk.close, fd)
            fds.append(fd)
            for _ in _write_all(disk, fd, data):
                pass
        disk.fsync_many(fds)


def create_file(path: Path, data: bytes, *, mode: int = 0o644, disk: Disk = OS) -> None:
    """Like `write_file`, but raises Conflict, and leaves all as it was, where `path` exists."""
    with _explained(path):
        temporary = _write_temporary(path, data, mode, disk)
        try:
            _place(disk, temporary, lambda: disk.link(temporary, path))
        except FileExistsError as error:
            raise Conflict(f"{path} exists already", str(path)) from error
        # The file stands under its own name; a temporary name that stays does no harm.
        with suppress(OSError):
            disk.unlink(temporary)
        _sync_directory(disk, path.parent)


def replace_link(link: Path, target: str, *, disk: Disk = OS) -> None:
    """Let the symbolic link `link` point to `target`, atomically and durably.

    `target` is the text of the link, relative to its directory unless absolute. Raises
    Unavailable; whoever follows the link meanwhile finds the old target or the new one.
    """
    with _explained(link):
        temporary = _temporary_beside(link)
        disk.symlink(target, temporary)
        _place(disk, temporary, lambda: disk.rename(temporary, link))
        _sync_directory(disk, link.parent)


def remove(path: Path, *, disk: Disk = OS) -> None:
    """Remove a file or link durably; one that is not there is already removed."""
    with _explained(path):
        try:
            disk.unlink(path)
        except FileNotFoundError:
            return
        _sync_directory(disk, path.parent)


def remove_directory(directory: Path, *, disk: Disk = OS) -> None:
    """Remove a directory of files durably; one that is not there is already removed."""
    if _empty_out(directory, disk):
        with _explained(directory):
            _sync_directory(disk, directory.parent)


def discard_directory(directory: Path, *, disk: Disk = OS) -> None:
    """Remove a directory of files that nobody needs, and wait for nothing.

    After a power cut it may be there again, with all of its files or some.
    """
    _empty_out(directory, disk)


def _empty_out(directory: Path, disk: Disk) -> bool:
    """Remove a directory of files; whether there was one."""
    with _explained(directory):
        try:
            paths = list(directory.iterdir())
        except FileNotFoundError:
            return False
        for path in paths:
            disk.unlink(path)
        disk.rmdir(directory)
        return True


def make_dirs(path: Path, *, mode: int = 0o755, disk: Disk = OS) -> None:
    """Make a directory and those above it that are missing, durably. Raises Unavailable."""
    if path.is_dir():
        # Whoever made it may have been killed before this; who may not look above did not make it.
        with _explained(path), suppress(PermissionError):
            _sync_directory(disk, path.parent)
        return
    make_dirs(path.parent, mode=mode, disk=disk)
    with _explained(path):
        try:
            disk.mkdir(path, mode)
        except FileExistsError:
            if not path.is_dir():
                raise
        _sync_directory(disk, path.parent)


def remove_leftovers(directory: Path, *, disk: Disk = OS) -> None:
    """Remove the temporary files that a power cut left in `directory`, and make its names durable.

    For the one process that owns the directory, at its start, before it writes: the process before
    may have been killed between a change and its fsync.
    """
    with _explained(directory):
        for path in directory.iterdir():
            if _LEFTOVER.fullmatch(path.name):
                disk.unlink(path)
        _sync_directory(disk, directory)


class Partial:
    """A file that grows at its end, for transfers that may be taken up again later.

    Its content is not trusted after a power cut: whoever publishes it has checked a digest. Use
    as a context manager, or `close` it. Every method raises Unavailable.
    """

    __slots__ = ("_disk", "_fd", "_has_name", "_path", "size")

    def __init__(self, path: Path, fd: int, size: int, disk: Disk) -> None:
        self._path = path
        self._fd = fd
        self._disk = disk
        self._has_name = False
        self.size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, data: bytes) -> None:
        """Write all of `data` at the end. `size` counts what was taken, also after an error."""
        with _explained(self._path):
            for taken in _write_all(self._disk, self._fd, data):
                self.size += taken

    def truncate(self, size: int) -> None:
        """Cut off what is beyond `size` bytes: the way to start anew after a bad digest."""
        with _explained(self._path):
            self._disk.truncate(self._fd, size)
            self.size = size

    def sync(self) -> None:
        """Wait until everything appended so far is on the medium, and the file's name."""
        with _explained(self._path):
            try:
                self._disk.fsync(self._fd)
            except OSError:
                # What it was to write is lost, and no later fsync would say so: begin anew.
                self.truncate(0)
                raise
            if not self._has_name:
                _sync_directory(self._disk, self._path.parent)
                self._has_name = True

    def close(self) -> None:
        """Give the descriptor back. Unsynced bytes may be lost in a power cut."""
        with _explained(self._path):
            self._disk.close(self._fd)


def open_partial(path: Path, *, mode: int = 0o644, disk: Disk = OS) -> Partial:
    """Open `path` to append to it, making it if need be. Raises Unavailable."""
    with _explained(path):
        fd = disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, mode)
        try:
            return Partial(path, fd, disk.seek_end(fd), disk)
        except BaseException:
            disk.close(fd)
            raise


def append_stream(path: Path, offset: int, chunks: Iterable[bytes], *, disk: Disk = OS) -> int:
    """Append `chunks` to the partial file at `path`, of which `offset` bytes are there already.

    Returns the new size. Raises Conflict, with the size that stands, for another offset. When
    `chunks` raises, what came before is kept and synced, so that the transfer can be resumed.
    """
    with open_partial(path, disk=disk) as partial:
        if partial.size != offset:
            raise Conflict(f"{path.name} has {partial.size} bytes, not {offset}", str(partial.size))
        try:
            for chunk in chunks:
                partial.append(chunk)
        finally:
            partial.sync()
        return partial.size


def publish(temporary: Path, final: Path, *, disk: Disk = OS) -> None:
    """Give a finished partial file its final name on the same file system, durably.

    The content is synced first, whoever wrote it. Raises Unavailable.
    """
    with _explained(final):
        _sync(disk, temporary, os.O_RDONLY | os.O_NOFOLLOW)
        disk.rename(temporary, final)
        _sync_directory(disk, final.parent)
        if temporary.parent != final.parent:
            _sync_directory(disk, temporary.parent)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = _WHAT_TO_DO.get(error.errno or 0, error.strerror or str(error))
        family = DiskFull if error.errno in _FULL else Unavailable
        raise family(f"cannot change {path}: {hint}") from error


def _temporary_beside(path: Path) -> Path:
    return next(_temporaries_beside([path]))


def _temporaries_beside(paths: Iterable[Path]) -> Iterator[Path]:
    # The name does not grow with the target's, which may be as long as a name can be.
    word = secrets.randbits(64)
    for number, path in enumerate(paths):
        yield path.with_name(f".{word ^ number:016x}.tmp")


def _write_temporary(path: Path, data: bytes, mode: int, disk: Disk) -> Path:
    temporary = _temporary_beside(path)
    fd = disk.open(temporary, _NEW, mode)

    def fill() -> None:
        try:
            for _ in _write_all(disk, fd, data):
                pass
            disk.fsync(fd)
        finally:
            disk.close(fd)

    _place(disk, temporary, fill)
    return temporary


def _place(disk: Disk, temporary: Path, step: Callable[[], None]) -> None:
    """Take one step with a temporary file; if it fails, leave no temporary file behind."""
    try:
        step()
    except BaseException:
        with suppress(OSError):
            disk.unlink(temporary)
        raise


def _write_all(disk: Disk, fd: int, data: bytes) -> Iterator[int]:
    """Write all of `data`, yielding how many bytes each call took."""
    rest = memoryview(data)
    while rest:
        taken = disk.write(fd, rest)
        rest = rest[taken:]
        yield taken


def _sync(disk: Disk, path: Path, flags: int) -> None:
    fd = disk.open(path, flags, 0)
    try:
        disk.fsync(fd)
    finally:
        disk.close(fd)


def _sync_directory(disk: Disk, path: Path) -> None:
    _sync(disk, path, os.O_RDONLY | os.O_DIRECTORY)


def _sync_directories(disk: Disk, paths: Sequence[Path]) -> None:
    if not paths:
        return
    with _explained(paths[0]), ExitStack() as opened:
        fds: list[int] = []
        for path in paths:
            fd = disk.open(path, os.O_RDONLY | os.O_DIRECTORY, 0)
            opened.callback(disk.close, fd)
            fds.append(fd)
        disk.fsync_many(fds)
