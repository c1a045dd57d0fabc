# SPDX-License-Identifier: Apache-2.0
"""A data folder from a backup. It counts as old until somebody says, or mirrors show, otherwise.

    DATA/restoring   a restore was begun; the same command finishes it
    DATA/restored    nobody has said yet that nothing was signed after the backup

The mark of the largest signed size is never taken back: of the backup's, the keys' own and the
backup's checkpoint the largest stays.
"""

from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, make_dirs, remove, write_file
from fieldpost.engines.backup import Backup, copy_keys, known_size, read_backup
from fieldpost.engines.board_files import is_board, keys_directory, log_directory
from fieldpost.engines.exclusive import check_owner
from fieldpost.engines.operator_keys import log_keys
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.engines.tail import RESTORED, is_restored
from fieldpost.errors import Misconfigured, Untrusted
from fieldpost.records.identifiers import origin_of
from fieldpost.store.blob_copy import copy_blobs
from fieldpost.store.log_copy import Copied, copy_log
from fieldpost.store.log_files import read_checkpoint
from fieldpost.store.sqlite_copy import copy_database
from fieldpost.tlog.checkpoint import Checkpoint, open_checkpoint
from fieldpost.tlog.note import ED25519, VerifierKey

RESTORING: Final = "restoring"


def restore(
    folder: Path,
    data: Path,
    *,
    keys: Path | None = None,
    newest: bool = False,
    copied: Copied = lambda _: None,
    disk: Disk = OS,
) -> tuple[Backup, list[str]]:
    """Make the data folder `data` from a backup; returns what that is, and damaged blobs.

    `keys` is where the keys lie, if neither the backup nor `data` has them. `newest`: the operator
    knows that nothing was signed after it. Raises Misconfigured where a board is already, or for
    keys of another one; Untrusted and Malformed, which name the file, for a damaged log.
    """
    if data.exists():
        check_owner(data)
    backup = read_backup(folder)
    if is_board(data) and not (data / RESTORING).exists():
        raise Misconfigured(f"{data} holds a board: restore into an empty folder")
    note = read_checkpoint(log_directory(folder))
    if note is None:
        raise Misconfigured(f"{folder} has no checkpoint: take another backup")
    make_dirs(data, disk=disk)
    write_file(data / RESTORING, b"", disk=disk)
    bring_keys(folder, data, keys, disk)
    signed = _check_own(note, data, backup)
    damaged = copy_blobs(folder / "blobs", data / "blobs", disk=disk)
    copy_log(
        log_directory(folder),
        log_directory(data),
        note,
        further=known_size(folder),
        copied=copied,
        disk=disk,
    )
    for name in ("fleet.db", "state.db"):
        if (folder / name).exists():
            copy_database(folder / name, data / name, disk=disk)
    mark = SignedMark(keys_directory(data), disk=disk)
    if signed.size > mark.size:
        mark.record(signed.size, signed.root)
    if not (newest or backup.final):
        write_file(data / RESTORED, b"", disk=disk)
    remove(data / RESTORING, disk=disk)
    return backup, damaged


def say_newest(data: Path, *, disk: Disk = OS) -> None:
    """The operator knows that nothing was signed after the backup. Raises Misconfigured."""
    if not is_restored(data):
        raise Misconfigured(f"{data} does not wait for that: it was not restored from a backup")
    remove(data / RESTORED, disk=disk)


def check_usable(data: Path) -> None:
    """Check that a restore into `data` was finished. Raises Misconfigured."""
    if (data / RESTORING).exists():
        raise Misconfigured(
            f"a restore into {data} was cut off: run `fieldpost node restore` again, it goes on"
        )


def bring_keys(folder: Path | None, data: Path, keys: Path | None, disk: Disk) -> None:
    """The node's keys into `data`: they are there, or come from `keys`, or from the backup.

    Raises Misconfigured where none are.
    """
    here = keys_directory(data)
    source = keys or (keys_directory(folder) if folder else None)
    if (here / "log.pem").exists():
        return
    if source is None or not (source / "log.pem").exists():
        raise Misconfigured(
            f"there are no keys: name the folder of the node's own with --keys, or copy them "
            f"to {here} first; without them this board cannot go on (docs/operations/backup.md)"
        )
    copy_keys(source, here, disk=disk)


def _check_own(note: bytes, data: Path, backup: Backup) -> Checkpoint:
    """The backup's checkpoint, if the keys here signed it."""
    origin = origin_of(backup.board)
    known = [VerifierKey(origin, ED25519, key.raw) for key in log_keys(keys_directory(data))]
    try:
        return open_checkpoint(note, known, origin=origin)[0]
    except Untrusted as error:
        raise Misconfigured(
            f"the keys in {keys_directory(data)} did not sign this backup ({error}): bring those "
            f"of {backup.board}"
        ) from error
