# SPDX-License-Identifier: Apache-2.0
"""A board's first start: the keys of its operator, and the genesis entry in an empty log.

Without a given origin the board is `localhost.<8 hex>/1`, a trial board: good for trying things
out, and said so in every output.
"""

import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, make_dirs
from fieldpost.engines.operator_keys import make_keys
from fieldpost.errors import Conflict
from fieldpost.ledger.genesis import apply_genesis, make_genesis
from fieldpost.posts.envelope import decode_post
from fieldpost.records.board import BoardRecord, Witness
from fieldpost.records.identifiers import board_id, check_origin
from fieldpost.records.limits import MAX_NAME
from fieldpost.signers.keyfile import save_key_reference
from fieldpost.store.log_files import LogFiles
from fieldpost.store.log_recovery import open_log
from fieldpost.tlog.hashing import leaf_hash

_TRIAL: Final = re.compile(r"localhost\.[0-9a-f]{8}/1")


def is_trial(origin: str) -> bool:
    """Whether this is the origin of a board that somebody only tries out."""
    return _TRIAL.fullmatch(origin) is not None


def keys_directory(data: Path) -> Path:
    """Where a node's keys lie."""
    return data / "keys"


def log_directory(data: Path) -> Path:
    """Where a node's log lies."""
    return data / "log"


def is_board(data: Path) -> bool:
    """Whether a board was begun in this data directory."""
    first = log_directory(data) / "tile" / "entries" / "000"
    partial = first.with_name("000.p")
    # A first start that was cut off before the genesis batch was in place is no board yet.
    return first.is_file() or (
        partial.is_dir() and any(path.name.isdecimal() for path in partial.iterdir())
    )


def has_signed(data: Path) -> bool:
    """Whether the keys here ever signed a tree head."""
    return (keys_directory(data) / "largest-signed").exists()


def create_board(
    data: Path,
    *,
    now: int,
    origin: str | None = None,
    operator: str | None = None,
    urls: Sequence[str] = (),
    post_quantum: bool = False,
    epoch_s: int = 60,
    witnesses: Sequence[Witness] = (),
    witnesses_needed: int = 0,
    disk: Disk = OS,
) -> str:
    """Make the keys and the genesis of a board with one operator; returns the board id.

    `now`: Unix seconds. `operator` is called after the origin's host unless named. Keys that an
    interrupted first start left are used. Raises Conflict if a board is here, Malformed for a bad
    origin, Unavailable.
    """
    origin = check_origin(origin or f"localhost.{secrets.token_hex(4)}/1")
    make_dirs(data, disk=disk)
    log = open_log(log_directory(data), disk=disk)
    if log.size:
        raise Conflict(f"{data} holds a board already", read_board_id(log))
    governance, keys = make_keys(keys_directory(data), post_quantum=post_quantum, disk=disk)
    name = operator or origin.partition("/")[0].partition(":")[0][:MAX_NAME]
    record = BoardRecord(
        origin=origin,
        epoch=0,
        previous=None,
        operators=(keys.operator(name, urls, origin, governance.public_key),),
        epoch_s=epoch_s,
        witnesses=tuple(witnesses),
        witnesses_needed=witnesses_needed,
    )
    batch = apply_genesis(make_genesis(record, [governance]), time=now)
    log.append(batch.entries)
    return batch.state.board


def read_board_id(log: LogFiles) -> str:
    """The board id, from the genesis entry of a log that has one. Raises NotFound, Malformed."""
    entry = log.read_entry(0)
    return board_id(decode_post(entry).statement.audience, leaf_hash(entry))


def name_keys_in_token(
    data: Path, make_key: Callable[[str], str], *, disk: Disk = OS
) -> list[Path]:
    """Before the first start: have governance, log and cosigner keys made elsewhere.

    `make_key` makes an Ed25519 key under a label and returns its `pkcs11:` URI, which the key file
    then holds. Raises Conflict if keys are here, and what `make_key` raises.
    """
    directory = keys_directory(data)
    if is_board(data) or any(directory.glob("*.pem")):
        raise Conflict(
            f"{directory} holds keys already; a board's keys are changed by its operator"
        )
    make_dirs(data, disk=disk)
    make_dirs(directory, mode=0o700, disk=disk)
    made: list[Path] = []
    for name in ("governance", "log", "cosigner"):
        made.append(directory / f"{name}.pem")
        save_key_reference(made[-1], make_key(name), disk=disk)
    return made
