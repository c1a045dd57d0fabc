# SPDX-License-Identifier: Apache-2.0
"""A program's output in a file that never grows beyond a limit, with a few older ones beside it.

    cometbft.log  cometbft.log.1  cometbft.log.2  …

What cannot be written is lost, never waited for: a full disk must not stop who is being followed.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 8 * 1024 * 1024
MOST_OLDER: Final = 3


class LimitedLog:
    """Appends to `path`; beyond `most_bytes` the file becomes the first of `older`."""

    def __init__(
        self, path: Path, *, most_bytes: int = MOST_BYTES, older: int = MOST_OLDER
    ) -> None:
        self._path = path
        self._most = most_bytes
        self._older = older
        self._fd = -1
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append, as far as the disk lets."""
        with suppress(OSError):
            self._open()
            if self._size and self._size + len(data) > self._most:
                self.close()
                self._rotate()
                self._open()
            self._size += os.write(self._fd, data)

    def close(self) -> None:
        """Let go of the file; a later `write` opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, 0o640)
            self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        for number in range(self._older, 0, -1):
            newer = self._older_path(number - 1) if number > 1 else self._path
            with suppress(FileNotFoundError):
                newer.replace(self._older_path(number))

    def _older_path(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
