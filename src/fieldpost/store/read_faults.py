# SPDX-License-Identifier: Apache-2.0
"""What a read that failed says of a file: its bytes are lost, or somebody else may read them."""

import errno
from typing import Final

# An unreadable sector, and what file systems with checksums say of content that does not match.
_LOST: Final = (errno.EIO, errno.EBADMSG, errno.EUCLEAN, errno.ENODATA, errno.EREMOTEIO)


def is_lost(error: BaseException | None) -> bool:
    """Whether an OSError says that the medium does not give the bytes back; no right does not."""
    return isinstance(error, OSError) and error.errno in _LOST
