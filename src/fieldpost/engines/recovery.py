# SPDX-License-Identifier: Apache-2.0
"""Opening a board after any kind of end: the log is the truth, everything else follows it.

log longer than state.db     replayed forward, every rule and signature judged again
state.db missing             rebuilt from the log
state.db longer than the log, a log that is not what was signed, keys of another board
                             refused, with what to do; nothing is changed
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, remove_leftovers
from fieldpost.engines.base import PublishedHead
from fieldpost.engines.board_files import (
    OperatorKeys,
    keys_directory,
    load_keys,
    log_directory,
    read_board_id,
)
from fieldpost.engines.cosigner import Cosigner
from fieldpost.engines.published import PublishedHeads, assemble_head
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.engines.writer import BoardWriter, change_of
from fieldpost.errors import FieldpostError, Malformed, Misconfigured, Rejected, Untrusted
from fieldpost.ledger.batch import Batch, LedgerState, apply_batch
from fieldpost.ledger.genesis import apply_genesis
from fieldpost.ledger.reading import read_board
from fieldpost.records.board import Operator
from fieldpost.records.identifiers import origin_of
from fieldpost.records.state_leaf import decode_state_leaf, is_state_leaf
from fieldpost.statemap import StateMap
from fieldpost.store.log_files import LogFiles
from fieldpost.store.log_recovery import open_log
from fieldpost.store.state_db import StateDb
from fieldpost.tlog.checkpoint import open_checkpoint, parse_checkpoint
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.tree import CompactRange, read_compact_range

MakeCosigner = Callable[[OperatorKeys, Operator], Cosigner]

_READ_AT_ONCE: Final = 4_096
_REBUILD: Final = "stop the node and move state.db away, it will be rebuilt from the log"


def open_board(
    data: Path, *, make_cosigner: MakeCosigner = OperatorKeys.local_cosigner, disk: Disk = OS
) -> BoardWriter:
    """The board below `data`, caught up with its log. Nothing is signed here.

    Raises Misconfigured, saying what to do; Unavailable.
    """
    keys = load_keys(keys_directory(data))
    remove_leftovers(keys_directory(data), disk=disk)
    mark = SignedMark(keys_directory(data), disk=disk)
    log = open_log(log_directory(data), disk=disk)
    mark.check_log(log)
    if log.size == 0:
        raise Misconfigured(f"there is no board in {data}: create one first")
    db = StateDb(data / "state.db")
    try:
        state = _catch_up(log, db)
        operator = keys.check_operator(read_board(state.map))
        return BoardWriter(
            log=log,
            db=db,
            state=state,
            heads=_load_heads(log, db, state),
            signer=keys.log,
            cosigner=make_cosigner(keys, operator),
            mark=mark,
        )
    except BaseException:
        db.close()
        raise


def _catch_up(log: LogFiles, db: StateDb) -> LedgerState:
    state = _load_state(log, db)
    hashed = CompactRange.empty() if state is None else None
    for entries in _batches(log, db.size()):
        before = db.size()
        batch = _replay(state, entries)
        db.commit(
            change_of(state.map if state else None, before, batch),
            keep=min([*db.heads(), _published_size(log)]),
        )
        state = batch.state
        hashed = hashed.extend(map(leaf_hash, entries)) if hashed else None
    if state is None:
        raise Misconfigured("the log holds no whole batch: restore it from a mirror or backup")
    if hashed is not None and hashed != log.compact_range():
        raise Misconfigured("the log's entries do not hash to its tiles: restore it from a mirror")
    return state


def _load_state(log: LogFiles, db: StateDb) -> LedgerState | None:
    """The state that the database describes; None for a new database."""
    size = db.size()
    if size == 0:
        return None
    if size > log.size:
        raise Misconfigured(
            f"state.db knows {size} entries, the log has {log.size}: the log lost its end. Copy it "
            "from a mirror or a backup; do not delete state.db"
        )
    try:
        last = decode_state_leaf(log.read_entry(size - 1))
    except Malformed as error:
        raise Misconfigured(f"state.db does not fit the log ({error}): {_REBUILD}") from error
    map_ = StateMap.build(db.items())
    if (map_.root, len(map_)) != (last.map_root, last.key_count):
        raise Misconfigured(f"state.db does not hash to the log's state: {_REBUILD}")
    return LedgerState(map=map_, size=size, board=read_board_id(log), last=last)


def _batches(log: LogFiles, start: int) -> Iterator[list[bytes]]:
    """The entries from `start` on, cut behind every state leaf."""
    batch: list[bytes] = []
    while start < log.size:
        entries = log.read_entries(start, min(start + _READ_AT_ONCE, log.size))
        start += len(entries)
        for entry in entries:
            batch.append(entry)
            if is_state_leaf(entry):
                yield batch
                batch = []


def _replay(state: LedgerState | None, entries: Sequence[bytes]) -> Batch:
    """Apply a batch of the log again. Raises Misconfigured unless it comes out the same."""
    at = state.size if state else 0
    try:
        leaf = decode_state_leaf(entries[-1])
        if state is None:
            batch = apply_genesis(entries[0], time=leaf.time)
        else:
            batch = apply_batch(state, entries[:-1], time=leaf.time)
    except (Malformed, Rejected, Untrusted) as error:
        raise Misconfigured(f"the log's batch at {at} breaks the rules ({error})") from error
    if list(batch.entries) != list(entries):
        raise Misconfigured(
            f"the log's batch at {at} does not come out the same when replayed: the log is damaged "
            "or was written by other rules; restore it from a mirror, or run the right version"
        )
    return batch


def _published_size(log: LogFiles) -> int:
    note = log.read_checkpoint()
    return int(note.split(b"\n", 2)[1]) if note else 0


def _load_heads(log: LogFiles, db: StateDb, state: LedgerState) -> PublishedHeads | None:
    """What the checkpoint publishes, and the older sizes that some policy still needs."""
    note = log.read_checkpoint()
    if note is None:
        return None
    heads = PublishedHeads((_load_head(note, log, db, state),))
    for size, older in sorted(db.heads().items()):
        if size < heads.newest.size:
            heads = heads.with_head(_load_head(older, log, db, state))
    return heads


def _load_head(note: bytes, log: LogFiles, db: StateDb, state: LedgerState) -> PublishedHead:
    """A published head, its signatures verified; its map is rebuilt if it is older."""
    size = parse_checkpoint(parse_note(note).text).size
    map_ = state.map if size == state.size else state.map.update(db.replaced_since(size))
    leaf = log.read_entry(size - 1)
    if decode_state_leaf(leaf).map_root != map_.root:
        raise Misconfigured(f"state.db cannot go back to the published size {size}: {_REBUILD}")
    record = read_board(map_)
    try:
        checkpoint, _ = open_checkpoint(
            note,
            [operator.log_key for operator in record.operators],
            origin=origin_of(state.board),
        )
        signature, *cosignatures = parse_note(note).signatures
        return assemble_head(
            checkpoint,
            signature,
            cosignatures,
            record=record,
            state_leaf=leaf,
            edge=read_compact_range(log.hash_reader(size), size=size - 1).edge(),
            map_=map_,
        )
    except FieldpostError as error:
        raise Misconfigured(
            f"the checkpoint of size {size} is not signed by this board ({error}): restore the "
            "log directory"
        ) from error
