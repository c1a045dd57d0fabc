# SPDX-License-Identifier: Apache-2.0
"""A backup of a node that goes on running, and what a folder must hold to be one.

    BACKUP/backup.json   what this is; written last, so a folder without it is no backup
    BACKUP/log/          everything that one checkpoint signs, verified on the way
    BACKUP/state.db      an older or equal size: never ahead of the log beside it
    BACKUP/fleet.db      what devices reported; nowhere else
    BACKUP/blobs/        images and manifests, each hashed on the way
    BACKUP/keys/         only on request: whoever has them is the operator

Databases come first and the log after them, so the log explains them. A folder that is a backup
already is brought up to date: what is there and the same is not written again. It also serves as
a mirror, for `--mirror` and for anybody's web server.
"""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, make_dirs, remove, write_file
from fieldpost.engines.board_files import keys_directory, log_directory
from fieldpost.engines.exclusive import DirectoryLock
from fieldpost.errors import Malformed, Misconfigured, NotFound
from fieldpost.posts.envelope import decode_post
from fieldpost.records.identifiers import board_id
from fieldpost.store.blob_copy import copy_blobs, stored_files
from fieldpost.store.log_copy import copy_log
from fieldpost.store.log_files import read_bundle, read_checkpoint, read_file
from fieldpost.store.sqlite_copy import copy_database
from fieldpost.store.state_files import state_db_version
from fieldpost.tlog.checkpoint import parse_checkpoint
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.tiles import tile_at

MANIFEST: Final = "backup.json"
# In a data folder from which a node was moved away: it must never sign again there.
MOVED: Final = "moved"
_FORMAT: Final = 1
_MOST_MANIFEST: Final = 65_536
# Told what is copied ("entries" or "blobs"), how many, and of how many.
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a backup is. `time` in Unix seconds; `final`: its node was stopped, and stays so."""

    board: str
    size: int
    root: str
    time: int
    keys: bool
    final: bool

    def encode(self) -> bytes:
        """The bytes of backup.json."""
        facts = {"format": _FORMAT} | asdict(self)
        return json.dumps(facts, indent=2).encode() + b"\n"


def read_backup(folder: Path) -> Backup:
    """What the backup in `folder` is. Raises Misconfigured for a folder that is none."""
    try:
        data = read_file(folder / MANIFEST)
    except NotFound:
        raise Misconfigured(
            f"{folder} is no backup, or one that was cut off: it has no {MANIFEST}. Take another "
            "one, or name the folder with --mirror, for which the log alone is enough"
        ) from None
    try:
        facts = json.loads(data[:_MOST_MANIFEST])
        if facts.pop("format") != _FORMAT:
            raise Misconfigured(f"{folder} was written by another version of fieldpost: use that")
        backup = Backup(**facts)
        size: object = backup.size
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Misconfigured(f"{folder / MANIFEST} is damaged: {error}") from error
    if not isinstance(size, int):
        raise Misconfigured(f"{folder / MANIFEST} is damaged")
    return backup


def back_up(
    data: Path,
    folder: Path,
    *,
    now: int,
    keys: bool = False,
    final: bool = False,
    watch: Watch = lambda *_: None,
    disk: Disk = OS,
) -> tuple[Backup, list[str]]:
    """Back up the node over `data` into `folder`; also while it runs, unless this is `final`.

    Returns what was made, and what is damaged among the blobs: it is not in the copy. Raises
    Misconfigured for no board, for another board's backup in `folder`, for a running node when
    final; Untrusted and Malformed, which name the file, for a damaged log; Unavailable.
    """
    with ExitStack() as stack:
        if final:
            lock = DirectoryLock(data)
            stack.callback(lock.release)
        note = read_checkpoint(log_directory(data))
        if note is None:
            raise Misconfigured(f"{data} holds no published board: name a node's data folder")
        board = board_of(log_directory(data), _size(note))
        _check_same_board(folder, board)
        make_dirs(folder, mode=0o700 if keys else 0o755, disk=disk)
        remove(folder / MANIFEST, disk=disk)
        if keys:
            # First, so that its mark is not ahead of the log that is copied.
            copy_keys(keys_directory(data), keys_directory(folder), disk=disk)
        for name in ("fleet.db", "state.db"):
            if (data / name).exists():
                copy_database(data / name, folder / name, disk=disk)
        # Read after state.db, so that it signs as much as that knows, or nearly.
        note = read_checkpoint(log_directory(data)) or note
        damaged = _copy_files(data, folder, note, watch=watch, disk=disk)
        checkpoint = parse_checkpoint(parse_note(note).text)
        backup = Backup(
            board=board,
            size=checkpoint.size,
            root=checkpoint.root.hex(),
            time=now,
            keys=keys,
            final=final,
        )
        write_file(folder / MANIFEST, backup.encode(), disk=disk)
        if final:
            write_file(data / MOVED, f"{folder.absolute()}\n".encode(), disk=disk)
        return backup, damaged


def _copy_files(data: Path, folder: Path, note: bytes, *, watch: Watch, disk: Disk) -> list[str]:
    total, done = _size(note), 0

    def copied(count: int) -> None:
        nonlocal done
        done += count
        watch("entries", done, total)

    copy_log(
        log_directory(data),
        log_directory(folder),
        note,
        further=known_size(folder),
        copied=copied,
        disk=disk,
    )
    total, done = sum(1 for _ in stored_files(data / "blobs")), 0
    return copy_blobs(
        data / "blobs",
        folder / "blobs",
        copied=lambda count: watch("blobs", count, total),
        disk=disk,
    )


def known_size(folder: Path) -> int:
    """The size of the log that the backup's state.db knows; 0 without one."""
    known = state_db_version(folder / "state.db")
    return known[1] if known else 0


def copy_keys(source: Path, target: Path, *, disk: Disk = OS) -> None:
    """Copy every file of a keys directory, readable by the owner alone."""
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            file = target / path.relative_to(source)
            make_dirs(file.parent, mode=0o700, disk=disk)
            write_file(file, read_file(path), mode=0o600, disk=disk)


def board_of(log: Path, size: int) -> str:
    """The board id of the log below `log`, which has `size` entries. Raises Misconfigured."""
    try:
        entry = read_bundle(log, tile_at(level=0, index=0, size=size))[0]
        return board_id(decode_post(entry).statement.audience, leaf_hash(entry))
    except (Malformed, NotFound) as error:
        raise Misconfigured(
            f"the genesis in {log} cannot be read ({error}): `fieldpost board fsck` names the "
            "file; copy it from a mirror or a backup"
        ) from error


def _size(note: bytes) -> int:
    """What a checkpoint signs. Raises Malformed, which names the file."""
    try:
        return parse_checkpoint(parse_note(note).text).size
    except Malformed as error:
        raise Malformed(
            f"log/checkpoint is damaged ({error}): restore it from a mirror or an older backup"
        ) from error


def _check_same_board(folder: Path, board: str) -> None:
    if not (folder / "log").exists():
        return
    note = read_checkpoint(folder / "log")
    found = board_of(folder / "log", _size(note)) if note else board
    if found != board:
        raise Misconfigured(f"{folder} is a backup of {found}: name another folder")
