# SPDX-License-Identifier: Apache-2.0
"""Files that cannot or should not be read: what a failed read says of one, and what a stat does."""

import errno
import stat
from pathlib import Path
from typing import Final

# An unreadable sector, and what file systems with checksums say of content that does not match.
_LOST: Final = (errno.EIO, errno.EBADMSG, errno.EUCLEAN, errno.ENODATA, errno.EREMOTEIO)
NO_FILE: Final = "it is no regular file"


def is_lost(error: BaseException | None) -> bool:
    """Whether an OSError says that the medium does not give the bytes back; no right does not."""
    return isinstance(error, OSError) and error.errno in _LOST


def why_not_read(path: Path, most_bytes: int | None = None) -> str | None:
    """Why a file is not to be read: a pipe would block, and one of any length fill the memory.

    None for a regular file of at most `most_bytes`, for a link to one, and where only reading it
    can say what is wrong.
    """
    try:
        found = path.stat()
    except OSError as error:
        leads_nowhere = error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink()
        return NO_FILE if leads_nowhere else None
    if not stat.S_ISREG(found.st_mode):
        return NO_FILE
    if most_bytes is not None and found.st_size > most_bytes:
        return f"it has {found.st_size} bytes, and no file of its kind more than {most_bytes}"
    return None
