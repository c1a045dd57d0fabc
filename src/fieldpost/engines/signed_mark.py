# SPDX-License-Identifier: Apache-2.0
r"""The largest tree head that this node's log key ever signed, kept beside the key.

    KEYS/largest-signed        <size> <root in hex>\n

It is written before a new size is signed. So a data directory that was put back from a backup, or
lost its tail, cannot make the node sign a second history: it is noticed and refused.
"""

import re
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, write_file
from fieldpost.errors import Misconfigured, NotFound
from fieldpost.store.log_files import LogFiles, read_file
from fieldpost.tlog.tree import CompactRange, read_compact_range

MARK: Final = "largest-signed"
_FORM: Final = re.compile(rb"(0|[1-9][0-9]{0,18}) ([0-9a-f]{64})\n")
_WHAT_TO_DO: Final = (
    "this data directory is older than what the node signed. Start it with --mirror and a copy "
    "that has the rest, or restore a newer backup; do not delete the file, or the node may sign a "
    "second history"
)


class SignedMark:
    """The file in the keys directory. `size` is 0 until something was signed."""

    def __init__(self, keys: Path, *, disk: Disk = OS) -> None:
        self._path = keys / MARK
        self._disk = disk
        self.size, self._root = _load(self._path)

    @property
    def root(self) -> bytes:
        """The root of that size; empty until something was signed."""
        return self._root

    def check_log(self, log: LogFiles) -> None:
        """Check that `log` extends what was signed. Raises Misconfigured, saying what to do."""
        if log.size < self.size:
            raise Misconfigured(
                f"the log has {log.size} entries, {self._path} says {self.size}: {_WHAT_TO_DO}"
            )
        if self.size == 0:
            return
        try:
            root = read_compact_range(log.hash_reader(), size=self.size).root()
        except NotFound as error:
            raise Misconfigured(f"the log lacks tiles ({error}): {_WHAT_TO_DO}") from error
        if root != self._root:
            raise Misconfigured(f"the log is another one than {self._path} says: {_WHAT_TO_DO}")

    def is_of(self, range_: CompactRange) -> bool:
        """Whether this is what was signed: a size with its root."""
        return self.names(range_.size, range_.root())

    def names(self, size: int, root: bytes) -> bool:
        """Whether this very size, with this root, was signed last."""
        return (self.size, self._root) == (size, root)

    def record(self, size: int, root: bytes) -> None:
        """Make durable that (size, root) is about to be signed.

        Raises Unavailable, Misconfigured for a smaller size or another root at the same size.
        """
        if (size, root) == (self.size, self._root):
            return
        if size <= self.size:
            raise Misconfigured(f"will not sign size {size} after {self.size}: {_WHAT_TO_DO}")
        write_file(self._path, f"{size} {root.hex()}\n".encode(), mode=0o600, disk=self._disk)
        self.size, self._root = size, root


def _load(path: Path) -> tuple[int, bytes]:
    try:
        data = read_file(path)
    except NotFound:
        return 0, b""
    match = _FORM.fullmatch(data)
    if match is None:
        raise Misconfigured(f"{path} is damaged: restore it from a backup of the keys")
    return int(match[1]), bytes.fromhex(match[2].decode())
