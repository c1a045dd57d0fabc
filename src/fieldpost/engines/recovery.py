# SPDX-License-Identifier: Apache-2.0
"""Opening a board after any kind of end: the log is the truth, everything else follows it.

log longer than state.db     replayed forward, every rule and signature judged again
state.db missing             rebuilt from the log
state.db of another version  brought up to this one, or set aside and rebuilt from the log
state.db longer than the log, a log that is not what was signed, keys of another board
                             refused, with what to do; nothing is changed

The inner nodes of the state map are computed from its keys and values at every start: a snapshot
of them would have to be hashed as a whole before a proof could be trusted, which is the same work.
"""

import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, remove_leftovers
from fieldpost.engines.base import PublishedHead
from fieldpost.engines.board_files import keys_directory, log_directory, read_board_id
from fieldpost.engines.cosigner import Cosigner
from fieldpost.engines.operator_keys import OperatorKeys, check_keys, find_keys
from fieldpost.engines.published import PublishedHeads, assemble_head
from fieldpost.engines.replaying import Replayed, replay_ahead
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.engines.verifiers import Verifiers
from fieldpost.engines.writer import BoardWriter, change_of
from fieldpost.errors import FieldpostError, Malformed, Misconfigured, Rejected, Untrusted
from fieldpost.journal import tell
from fieldpost.keys import Signer
from fieldpost.ledger.batch import LedgerState
from fieldpost.ledger.reading import read_board
from fieldpost.records.board import BoardRecord, Operator
from fieldpost.records.identifiers import origin_of
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.statemap import StateMap
from fieldpost.store.log_files import LogFiles
from fieldpost.store.log_recovery import open_log
from fieldpost.store.state_db import STATE_DB_VERSION, STEPS, StateChange, StateDb
from fieldpost.store.state_files import set_aside, state_db_version
from fieldpost.tlog.checkpoint import open_checkpoint, parse_checkpoint
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.tree import CompactRange, read_compact_range

MakeCosigner = Callable[[OperatorKeys, Operator], Cosigner]

# Told how many entries of how many are applied again.
Watch = Callable[[int, int], None]

_READ_AT_ONCE: Final = 4_096
_WORD_S: Final = 10.0
_VERIFY_S: Final = 60.0
_REBUILD: Final = "stop the node and run `fieldpost node rebuild`, which makes it anew from the log"

_log = logging.getLogger(__name__)


def open_board(
    data: Path,
    *,
    make_cosigner: MakeCosigner = OperatorKeys.local_cosigner,
    watch: Watch | None = None,
    behind: bool = False,
    disk: Disk = OS,
) -> BoardWriter:
    """The board below `data`, caught up with its log. Nothing is signed here.

    `watch` follows the entries that are applied again; without it the log does, every 10 s. A log
    that is shorter than what was signed is opened only if the caller knows that it is `behind`.
    Raises Misconfigured, saying what to do; Unavailable.
    """
    check_keys(keys_directory(data))
    remove_leftovers(keys_directory(data), disk=disk)
    mark = SignedMark(keys_directory(data), disk=disk)
    log = open_log(log_directory(data), disk=disk)
    if log.size >= mark.size or not behind:
        mark.check_log(log)
    if log.size == 0:
        raise Misconfigured(f"there is no board in {data}: create one first")
    set_aside_unknown_version(data / "state.db", log, disk)
    db = StateDb(data / "state.db")
    try:
        state = load_ledger(log, db, watch)

        def choose(record: BoardRecord) -> tuple[Signer, Cosigner]:
            keys, operator = find_keys(keys_directory(data), record)
            return keys.log, make_cosigner(keys, operator)

        return BoardWriter(
            log=log,
            db=db,
            state=state,
            heads=load_heads(log, db, state),
            choose_keys=choose,
            mark=mark,
        )
    except BaseException:
        db.close()
        raise


def set_aside_unknown_version(path: Path, log: LogFiles, disk: Disk) -> None:
    """Move a state.db of a version that cannot be opened out of the way. Raises Misconfigured."""
    found = state_db_version(path)
    if found is None or found[0] == STATE_DB_VERSION or found[0] in STEPS:
        return
    version, size = found
    check_not_ahead(size, log)
    aside = set_aside(path, disk=disk)
    tell(_log, "state-db-set-aside", version=version, writes=STATE_DB_VERSION, kept_as=aside.name)


def check_not_ahead(size: int, log: LogFiles) -> None:
    """Check that a state.db of `size` entries is not newer than the log. Raises Misconfigured."""
    if size > log.size:
        raise Misconfigured(
            f"state.db knows {size} entries, the log has {log.size}: the log lost its end. Copy it "
            "from a mirror or a backup; do not delete state.db"
        )


class Words:
    """A `Watch` for nobody in particular: a line in the log every 10 seconds."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        """See Watch."""
        now = time.monotonic()
        if self._first is None:
            self._first = done
        if now - self._last >= _WORD_S:
            self._last = now
            rate = round((done - self._first) / (now - self._began))
            tell(_log, "rebuilding", done=done, total=total, entries_per_s=rate)


def load_ledger(log: LogFiles, db: StateDb, watch: Watch | None = None) -> LedgerState:
    """The state at the end of the log; the database is caught up with it.

    Raises Misconfigured, saying what to do, for what does not fit together; Unavailable.
    """
    state, hashed = replay_log(log, db, watch=watch)
    if hashed is not None and hashed != log.compact_range():
        raise Misconfigured(
            "the log's entries do not hash to its tiles: `fieldpost board fsck` names the file; "
            "copy it from a mirror or a backup"
        )
    return state


def replay_log(
    log: LogFiles, db: StateDb, *, until: int | None = None, watch: Watch | None = None
) -> tuple[LedgerState, CompactRange | None]:
    """Apply the log from the database's size `until` a size where a batch ends (default: the end).

    The state there, and, if it began with nothing, what the entries hash to. Raises Misconfigured,
    saying what to do, for what does not fit together; Unavailable.
    """
    watch = watch or Words()
    end = log.size if until is None else until
    with _without_collection():
        state = load_state(log, db)
    hashed = CompactRange.empty() if state is None else None
    size = state.size if state else 0
    keep = min([*db.heads(), _published_size(log)])
    changes: list[StateChange] = []
    # Few entries are judged before another process has started.
    verifiers = Verifiers(None if end - size > _READ_AT_ONCE else 0, answer_s=_VERIFY_S)
    try:
        for one in _replay(state, _entries(log, size, end), verifiers):
            changes.append(change_of(state.map if state else None, size, one.batch, one.decode))
            state, size = one.batch.state, one.batch.state.size
            hashed = hashed.extend(map(leaf_hash, one.batch.entries)) if hashed else None
            if size - changes[0].before >= _READ_AT_ONCE:
                db.commit_many(changes, keep=keep)
                changes.clear()
                watch(size, end)
    finally:
        verifiers.close()
    if changes:
        db.commit_many(changes, keep=keep)
        watch(size, end)
    if state is None:
        raise Misconfigured("the log holds no whole batch: restore it from a mirror or backup")
    return state, hashed


@contextmanager
def _without_collection() -> Iterator[None]:
    """No search for cycles while millions of objects are made, of which none has any."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def load_state(log: LogFiles, db: StateDb) -> LedgerState | None:
    """The state that the database describes; None for a new one. Raises as `load_ledger`."""
    size = db.size()
    if size == 0:
        return None
    check_not_ahead(size, log)
    try:
        last = decode_state_leaf(log.read_entry(size - 1))
    except Malformed as error:
        raise Misconfigured(f"state.db does not fit the log ({error}): {_REBUILD}") from error
    try:
        map_ = StateMap.from_sorted(db.each_item())
    except ValueError as error:
        raise Misconfigured(f"state.db is damaged ({error}): {_REBUILD}") from error
    if (map_.root, len(map_)) != (last.map_root, last.key_count):
        raise Misconfigured(f"state.db does not hash to the log's state: {_REBUILD}")
    return LedgerState(map=map_, size=size, board=read_board_id(log), last=last)


def _entries(log: LogFiles, start: int, end: int) -> Iterator[bytes]:
    """The entries from `start` to `end`."""
    while start < end:
        entries = log.read_entries(start, min(start + _READ_AT_ONCE, end))
        start += len(entries)
        yield from entries


def _replay(
    state: LedgerState | None, entries: Iterator[bytes], verifiers: Verifiers
) -> Iterator[Replayed]:
    """Apply the batches of the log again. Raises Misconfigured unless they come out the same."""
    at = state.size if state else 0
    try:
        for replayed in replay_ahead(state, entries, verifiers):
            yield replayed
            at = replayed.batch.state.size
    except Untrusted as error:
        if error.reason != "wrong-state":
            raise _broken(at, error) from error
        raise Misconfigured(
            f"the log's batch at {at} does not come out the same when replayed: the log is damaged "
            "or was written by other rules; restore it from a mirror, or run the right version"
        ) from error
    except (Malformed, Rejected) as error:
        raise _broken(at, error) from error


def _broken(at: int, error: FieldpostError) -> Misconfigured:
    return Misconfigured(f"the log's batch at {at} breaks the rules ({error})")


def _published_size(log: LogFiles) -> int:
    note = log.read_checkpoint()
    return int(note.split(b"\n", 2)[1]) if note else 0


def load_heads(log: LogFiles, db: StateDb, state: LedgerState) -> PublishedHeads | None:
    """What the checkpoint publishes, and the older sizes that some policy still needs.

    None before anything was published, and where `state` is not yet as far as the checkpoint.
    Raises Misconfigured for what is not signed by this board.
    """
    note = log.read_checkpoint()
    if note is None or parse_checkpoint(parse_note(note).text).size > state.size:
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
            edge=read_compact_range(log.hash_reader(), size=size - 1).edge(),
            map_=map_,
        )
    except FieldpostError as error:
        raise Misconfigured(
            f"the checkpoint of size {size} is not signed by this board ({error}): restore the "
            "log directory"
        ) from error
