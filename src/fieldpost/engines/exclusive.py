# SPDX-License-Identifier: Apache-2.0
"""One process for one data directory: two would sign two histories."""

import fcntl
import os
from pathlib import Path

from fieldpost.errors import Misconfigured


class DirectoryLock:
    """An advisory lock on a directory, until `release` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        try:
            self._fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Misconfigured(f"cannot open {directory}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise Misconfigured(
                f"{directory} is in use by another node process: stop it first, or choose another "
                "data directory"
            ) from None

    def release(self) -> None:
        """Let others have it. Once is enough."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
