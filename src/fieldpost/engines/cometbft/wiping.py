# SPDX-License-Identifier: Apache-2.0
"""Taking away what an operator's node can fetch from its peers again, and nothing else.

Log, state and blocks go. Keys stay, and with them the two marks of what they signed last: the
largest checkpoint (DATA/keys/largest-signed) and the last vote (priv_validator_state.json). A node
that forgot those could sign a second history, which nobody could take back. Blobs, reports and
evidence stay too, since peers have no copy of them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, remove, remove_directory
from fieldpost.engines.board_files import log_directory
from fieldpost.engines.cometbft.home import comet_home, signed_path
from fieldpost.engines.exclusive import DirectoryLock

_DATABASES: Final = ("state.db", "catalog.db")


def wipe_replica(data: Path, *, disk: Disk = OS) -> list[Path]:
    """Remove log, state and blocks below `data`; what was removed.

    Raises Misconfigured while a node uses the folder, Unavailable.
    """
    lock = DirectoryLock(data)
    try:
        gone = [path for path in _replaceable(data) if path.exists()]
        for path in gone:
            _remove(path, disk)
        return gone
    finally:
        lock.release()


def _remove(path: Path, disk: Disk) -> None:
    if not path.is_dir():
        remove(path, disk=disk)
        return
    for below in sorted(path.iterdir()):
        if below.is_dir():
            _remove(below, disk)
    remove_directory(path, disk=disk)


def _replaceable(data: Path) -> Iterator[Path]:
    # State first: without a log it would be taken for one that is ahead of it.
    for name in _DATABASES:
        yield from sorted(data.glob(f"{name}*"))
    home = comet_home(data)
    blocks = sorted((home / "data").iterdir()) if (home / "data").is_dir() else []
    yield from (path for path in blocks if path != signed_path(home))
    yield log_directory(data)
