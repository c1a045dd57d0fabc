# SPDX-License-Identifier: Apache-2.0
"""Two signed heads of one size with different roots: kept, because nobody can explain them away.

    DATA/evidence/<16 hex of SHA-256(origin)>-<size>-<8 hex of SHA-256(the other note)>-here.note
    …-there.note

Both are signed by a key of the log, so they prove what its holder did to anybody who knows the key.
"""

import logging
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final

from fieldpost.durable import OS, Disk, make_dirs, write_file
from fieldpost.journal import tell

MOST_PAIRS: Final = 256

_log = logging.getLogger(__name__)


class Evidence:
    """The folder of evidence. `count` pairs are in it; at most `MOST_PAIRS` are ever kept."""

    def __init__(self, folder: Path, *, disk: Disk = OS) -> None:
        self._folder = folder
        self._disk = disk
        self._lock = Lock()
        found = folder.glob("*-there.note") if folder.is_dir() else ()
        self._names = {path.name.removesuffix("-there.note") for path in found}

    @property
    def count(self) -> int:
        """How many pairs are kept."""
        return len(self._names)

    def keep(self, origin: str, here: bytes, there: bytes) -> None:
        """Keep a pair, durably, unless it is kept already. Raises Unavailable."""
        size = there.split(b"\n", 2)[1].decode("ascii", "replace")
        # The text alone: the same head signed twice is one fork.
        text = there.partition(b"\n\n")[0]
        name = f"{sha256(origin.encode()).hexdigest()[:16]}-{size}-{sha256(text).hexdigest()[:8]}"
        with self._lock:
            if name in self._names or len(self._names) >= MOST_PAIRS:
                return
            make_dirs(self._folder, disk=self._disk)
            write_file(self._folder / f"{name}-here.note", here, disk=self._disk)
            write_file(self._folder / f"{name}-there.note", there, disk=self._disk)
            self._names.add(name)
        tell(_log, "fork-seen", origin=origin, size=size, kept_in=str(self._folder))
