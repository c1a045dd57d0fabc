# SPDX-License-Identifier: Apache-2.0
"""One process for one data directory, as its owner: two would sign two histories."""

import fcntl
import os
import pwd
from pathlib import Path

from fieldpost.errors import Misconfigured


def check_owner(directory: Path) -> None:
    """Check that root does not write where a service of its own user will. Raises Misconfigured.

    A file that root made there, in the middle of a night, would end the next start.
    """
    owner = directory.stat().st_uid
    if os.geteuid() != 0 or owner == 0:
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"+{owner}"
    raise Misconfigured(
        f"{directory} belongs to {name}, who could not read what root writes there: run this as "
        f"that user, as by  runuser -u {name} -- fieldpost …"
    )


class DirectoryLock:
    """An advisory lock on a directory, until `release` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        try:
            check_owner(directory)
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
