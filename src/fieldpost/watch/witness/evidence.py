# SPDX-License-Identifier: Apache-2.0
"""Two signed heads of one size with different roots: kept, because nobody can explain them away.

    DATA/evidence/<16 hex of SHA-256(origin)>-<size>-<8 hex of SHA-256(the other head)>

of a board    ….evidence                    what `fieldpost verify` judges anywhere
of a log      …-here.note, …-there.note     what was cosigned, and what was shown later

Both heads are signed by a key of the log, so they prove to anybody what its holder did.
"""

import logging
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final

from fieldpost.checkin.evidence import MAX_EVIDENCE_BYTES, MAX_LINKS, make_evidence
from fieldpost.durable import OS, Disk, make_dirs, write_file
from fieldpost.journal import tell
from fieldpost.watch.witness.boards import FollowedBoard

MOST_PAIRS: Final = 256
_OF_BOARD: Final = ".evidence"
_THERE: Final = "-there.note"

_log = logging.getLogger(__name__)


class Evidence:
    """The folder of evidence. `count` pairs are in it; at most `MOST_PAIRS` are ever kept."""

    def __init__(self, folder: Path, *, disk: Disk = OS) -> None:
        self._folder = folder
        self._disk = disk
        self._lock = Lock()
        found = list(folder.iterdir()) if folder.is_dir() else []
        self._names = {
            path.name.removesuffix(ending)
            for path in found
            for ending in (_OF_BOARD, _THERE)
            if path.name.endswith(ending)
        }

    @property
    def count(self) -> int:
        """How many pairs are kept."""
        return len(self._names)

    def keep(self, origin: str, here: bytes, there: bytes, *, board: FollowedBoard | None) -> None:
        """Keep a pair, durably, unless it is kept already. Raises Unavailable, Malformed."""
        size = there.split(b"\n", 2)[1].decode("ascii", "replace")
        # The text alone: the same head signed twice is one fork.
        text = there.partition(b"\n\n")[0]
        name = f"{sha256(origin.encode()).hexdigest()[:16]}-{size}-{sha256(text).hexdigest()[:8]}"
        with self._lock:
            if name in self._names or len(self._names) >= MOST_PAIRS:
                return
            make_dirs(self._folder, disk=self._disk)
            if board is None:
                write_file(self._folder / f"{name}-here.note", here, disk=self._disk)
                write_file(self._folder / f"{name}{_THERE}", there, disk=self._disk)
            else:
                evidence = make_evidence(board.board, (here, there), links=_that_fit(board.links))
                write_file(self._folder / f"{name}{_OF_BOARD}", evidence.encode(), disk=self._disk)
            self._names.add(name)
        tell(_log, "fork-seen", origin=origin, size=size, kept_in=str(self._folder))


def _that_fit(links: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """A chain that is too long to carry is left out: it can be fetched."""
    fit = len(links) <= MAX_LINKS and sum(map(len, links)) <= MAX_EVIDENCE_BYTES // 2
    return links if fit else ()
