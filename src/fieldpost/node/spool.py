# SPDX-License-Identifier: Apache-2.0
"""Where leaves of lots wait on the disk while they come in: strangers' bytes cost no memory.

Anybody may send them, so the lot on the board says how many bytes there can be, one client sends
few lots at once, and the disk's reserve is kept. A file lives as long as its request; what a killed
process left is removed at the next start.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import Final

from fieldpost.durable import make_dirs, open_partial, remove
from fieldpost.errors import Unavailable
from fieldpost.node.clients import OWN
from fieldpost.node.config import Limits
from fieldpost.node.uploads import check_reserve

PIECE_BYTES: Final = 256 * 1024


class Spooled:
    """Bytes on the disk that grow at their end, and are read in pieces as often as one likes."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._partial = open_partial(path, mode=0o600)

    def append(self, data: bytes) -> None:
        """Write all of `data` at the end. Raises Unavailable, DiskFull."""
        check_reserve(self._path.parent, len(data), self._limits.reserve_bytes)
        self._partial.append(data)

    def __iter__(self) -> Iterator[bytes]:
        """All bytes, from the first. Raises Unavailable."""
        try:
            with self._path.open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    yield piece
        except OSError as error:
            raise Unavailable(f"cannot read {self._path}: {error.strerror}") from error

    def discard(self) -> None:
        """Give the room back."""
        self._partial.close()
        remove(self._path)


class Spool:
    """Spooled bytes below a folder of its own. For any thread. Raises Unavailable."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._running: Counter[str] = Counter()
        self._lock = Lock()
        make_dirs(folder)
        for left in folder.iterdir():
            remove(left)

    def begin(self, most_bytes: int) -> Spooled:
        """A place for at most so many bytes. Raises DiskFull."""
        check_reserve(self._folder, most_bytes, self._limits.reserve_bytes)
        return Spooled(self._folder / token_hex(8), self._limits)

    @contextmanager
    def admitted(self, client: str) -> Iterator[None]:
        """Be one of the few that may send at once. Raises Unavailable."""
        with self._lock:
            if self._running.total() >= self._limits.lots_at_once:
                raise Unavailable("too many lots are being sent at once", 5)
            if client != OWN and self._running[client] >= self._limits.lots_per_client:
                raise Unavailable("too many lots are being sent from this address at once", 5)
            self._running[client] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[client] -= 1
                self._running += Counter()
