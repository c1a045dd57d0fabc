# SPDX-License-Identifier: Apache-2.0
"""The log that all operators of a cluster begin with, as their genesis file says.

A new board's is the batch of its genesis post, at the genesis time. A board that was an embedded
one brings a longer log, of which every operator needs a copy before the first block.
"""

import json
from pathlib import Path

from fieldpost.durable import OS, Disk, make_dirs
from fieldpost.engines.board_files import log_directory
from fieldpost.engines.cometbft.genesis import Genesis
from fieldpost.engines.cometbft.replica import Base, check_base
from fieldpost.errors import FieldpostError, Malformed, Misconfigured
from fieldpost.ledger.batch import Batch
from fieldpost.ledger.genesis import apply_genesis
from fieldpost.store.log_recovery import open_log
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.tree import CompactRange


def base_of(genesis: Genesis) -> Base:
    """What a genesis file says of the log."""
    return Base(genesis.board, genesis.size, genesis.root)


def base_of_batch(batch: Batch) -> Base:
    """The base that a genesis batch makes."""
    root = CompactRange.empty().extend(map(leaf_hash, batch.entries)).root()
    return Base(batch.state.board, batch.state.size, root)


def parse_app_state(data: bytes) -> Base:
    """The base in `app_state`, as CometBFT hands it over. Raises Malformed."""
    try:
        match json.loads(data):
            case {"board": str(board), "size": int(size), "root": str(root)}:
                return Base(board, size, bytes.fromhex(root))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"app_state is not what a board's genesis file has: {error}") from error
    raise Malformed("app_state names no board, size and root")


def place_base(data: Path, genesis: Genesis, *, disk: Disk = OS) -> Base:
    """Put the base log below `data` if nothing is there, and check what is.

    Raises Misconfigured where a board that moved has no copy of its log yet, or another one, and
    for a genesis file that contradicts itself.
    """
    make_dirs(data, disk=disk)
    base = base_of(genesis)
    log = open_log(log_directory(data), disk=disk)
    if log.size == 0 and genesis.genesis_post is not None:
        try:
            batch = apply_genesis(genesis.genesis_post, time=genesis.time)
        except FieldpostError as error:
            raise Misconfigured(f"the genesis post in the genesis file is none: {error}") from error
        if base_of_batch(batch) != base:
            raise Misconfigured("the genesis file's post does not make the root that it names")
        log.append(batch.entries)
    check_base(log, base)
    return base
