# SPDX-License-Identifier: Apache-2.0
"""A whole process on another disk: whatever its code writes by `fieldpost.durable` goes there.

    with everything_on(VolatileDisk(home)): main([...])

Programs of people take no `Disk`, since nobody would give them another one. So here the real disk
itself stands for another, for as long as a block lasts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fieldpost.disk import Disk, OsDisk

CALLS: Final = (
    *("open", "write", "seek_end", "truncate", "fsync", "fsync_many", "close"),
    *("rename", "link", "symlink", "unlink", "mkdir", "rmdir"),
)


@contextmanager
def everything_on(disk: Disk) -> Iterator[None]:
    """Let `disk` be the disk of this process, whose own calls must not lead back to `OsDisk`."""
    before = {name: getattr(OsDisk, name) for name in CALLS}
    try:
        for name in CALLS:
            setattr(OsDisk, name, getattr(disk, name))
        yield
    finally:
        for name, call in before.items():
            setattr(OsDisk, name, call)
