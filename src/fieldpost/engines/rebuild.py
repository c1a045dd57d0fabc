# SPDX-License-Identifier: Apache-2.0
"""Making state.db anew on purpose: it was damaged, or somebody wants to see that it can be done."""

from pathlib import Path

from fieldpost.durable import OS, Disk
from fieldpost.engines.board_files import has_signed, is_board, log_directory
from fieldpost.engines.exclusive import DirectoryLock
from fieldpost.engines.recovery import Watch, check_not_ahead, open_board
from fieldpost.errors import Misconfigured
from fieldpost.store.log_recovery import open_log
from fieldpost.store.state_files import set_aside, state_db_version


def rebuild_board(data: Path, *, watch: Watch | None = None, disk: Disk = OS) -> tuple[int, int]:
    """Make state.db anew from the log, every rule and signature judged again.

    Returns (entries of the log, keys of the state map). The old file stays as state.db.aside.
    Raises Misconfigured where the old one knows more than the log, a node runs here, or several
    operators run the board, whose blocks make it (`leave_to_blocks`); and as `open_board`.
    """
    if follows_blocks(data):
        raise Misconfigured(f"{data} is an operator's of several: CometBFT's blocks make its state")
    if not is_board(data) and not has_signed(data):
        raise Misconfigured(f"{data} holds no board: name a node's data folder")
    lock = DirectoryLock(data)
    try:
        _set_aside(data, disk)
        writer = open_board(data, watch=watch, disk=disk)
        try:
            return writer.state.size, len(writer.state.map)
        finally:
            writer.close()
    finally:
        lock.release()


def follows_blocks(data: Path) -> bool:
    """Whether the board below `data` is made by CometBFT's blocks, which are beside it."""
    return (data / "cometbft" / "config" / "genesis.json").exists()


def leave_to_blocks(data: Path, *, disk: Disk = OS) -> Path:
    """Move an operator's state.db away, and say where to: the next start applies all blocks again.

    The log alone cannot make it, since it does not tell of which block the state is. Raises
    Misconfigured where a node runs here.
    """
    lock = DirectoryLock(data)
    try:
        return set_aside(data / "state.db", disk=disk)
    finally:
        lock.release()


def _set_aside(data: Path, disk: Disk) -> None:
    log = open_log(log_directory(data), disk=disk)
    path = data / "state.db"
    try:
        found = state_db_version(path)
    except Misconfigured:
        found = None  # damaged: the log is all there is
    if found is not None:
        check_not_ahead(found[1], log)
    if path.exists():
        set_aside(path, disk=disk)
