# SPDX-License-Identifier: Apache-2.0
"""The log of a board that moves to several operators, copied by each of them and judged anew.

    published      the source's tiles lead to its checkpoint's root, every entry hashes to them
    the last batch lies behind the checkpoint: the board's one operator may not publish it any
                   more, since it carries the record that names its successors
    moved_genesis  every rule applied to all of it, the checkpoint cosigned as the record of its
                   size demands; what the record at the end says is genesis.json

A source is believed nothing, and every operator comes to the same file from the same log. What a
copy cannot tell is whether the source held a later batch back: operators compare their files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, make_dirs
from fieldpost.engines.board_files import log_directory
from fieldpost.engines.cometbft.genesis import Genesis, Validator
from fieldpost.engines.mirrors import BUNDLE_BYTES, Mirror, MirrorHead, verify_tail
from fieldpost.engines.published import verify_published
from fieldpost.engines.recovery import Watch, replay_log
from fieldpost.errors import Malformed, Misconfigured, NotFound, Unavailable, Untrusted
from fieldpost.ledger.batch import LedgerState
from fieldpost.ledger.reading import read_board
from fieldpost.records.board import BoardRecord
from fieldpost.records.state_leaf import is_state_leaf
from fieldpost.store.log_files import MAX_BATCH_ENTRIES, LogFiles
from fieldpost.store.log_recovery import open_log
from fieldpost.store.state_db import StateDb
from fieldpost.tlog.checkpoint import parse_checkpoint
from fieldpost.tlog.hashing import Hash
from fieldpost.tlog.note import MAX_NOTE_BYTES, parse_note
from fieldpost.tlog.tiles import FULL_WIDTH, Tile, decode_entry_bundle, entries_path
from fieldpost.tlog.tree import read_compact_range

_WRITTEN_AT_ONCE: Final = 4_096


def moved_genesis(
    data: Path, source: Mirror, *, watch: Watch | None = None, disk: Disk = OS
) -> tuple[Genesis, BoardRecord]:
    """Copy the whole log of a board that moves to `data`, judge it, and say what follows from it.

    May be called again after an interruption. Raises Misconfigured for a board that does not move
    (yet), or runs on elsewhere already; Untrusted, Malformed and NotFound for a source that shows
    what is not so; Unavailable.
    """
    make_dirs(data, disk=disk)
    log = open_log(log_directory(data), disk=disk)
    note = copy_published(log, source)
    published = parse_checkpoint(parse_note(note).text).size
    db = StateDb(data / "state.db")
    try:
        if db.size() < published or log.read_checkpoint() is None:
            state, _ = replay_log(log, db, until=published, watch=watch)
            verify_published(note, read_board(state.map))
            log.write_checkpoint(note)
        state, _ = replay_log(log, db, watch=watch)
        if read_board(state.map).is_replicated and state.size <= published:
            raise Misconfigured(
                f"{source.name} shows a board that its operators run already: take genesis.json "
                "from one of them, and use  fieldpost operator join"
            )
        while not read_board(state.map).is_replicated:
            if not copy_batch_behind(log, source):
                raise Misconfigured(
                    f"the board at {source.name} ends with size {log.size}, and names no operators "
                    "with validator keys: its operator posts them first, by  fieldpost operator "
                    "board-set --operator FILE"
                )
            state, _ = replay_log(log, db, watch=watch)
    finally:
        db.close()
    record = read_board(state.map)
    return _genesis(log, state, record), record


def _genesis(log: LogFiles, state: LedgerState, record: BoardRecord) -> Genesis:
    return Genesis(
        board=state.board,
        time=state.last.time,
        size=state.size,
        root=log.compact_range().root(),
        genesis_post=None,
        validators=tuple(
            Validator(operator.name, operator.validator_key)
            for operator in record.operators
            if operator.validator_key is not None
        ),
    )


def copy_base(data: Path, genesis: Genesis, source: Mirror, *, disk: Disk = OS) -> None:
    """Copy the log that a moved board's genesis file names. Rules are judged at the first start.

    May be called again after an interruption. Raises Misconfigured if the log there, or at the
    source, is another one, and as `moved_genesis`.
    """
    make_dirs(data, disk=disk)
    log = open_log(log_directory(data), disk=disk)
    if log.size < genesis.size:
        copy_published(log, source, most=genesis.size, root=genesis.root)
    while log.size < genesis.size and copy_batch_behind(log, source):
        pass
    reader = log.hash_reader()
    if log.size < genesis.size or (
        read_compact_range(reader, size=genesis.size).root() != genesis.root
    ):
        raise Misconfigured(
            f"the log at {source.name} does not begin with the {genesis.size} entries that "
            f"genesis.json names; remove {log_directory(data)}, and name another source"
        )


def check_same(data: Path, other: Mirror) -> None:
    """Check that the log below `data` has what another copy's checkpoint covers.

    Raises Untrusted("bad-proof") if it has another history, or less; Malformed, Unavailable.
    """
    log = open_log(log_directory(data))
    checkpoint = parse_checkpoint(parse_note(other.read("checkpoint", MAX_NOTE_BYTES)).text)
    if checkpoint.size > log.size or (
        read_compact_range(log.hash_reader(), size=checkpoint.size).root() != checkpoint.root
    ):
        raise Untrusted(
            "bad-proof",
            f"{other.name} shows {checkpoint.size} entries that are not those of the copied log: "
            "somebody shows two histories, or the source holds something back. Do not start",
        )


def copy_published(
    log: LogFiles, source: Mirror, *, most: int | None = None, root: Hash | None = None
) -> bytes:
    """Append what the source's checkpoint covers, at most `most` entries; the checkpoint's note.

    The note is not judged here. Where `root` is known, of `most` entries, nothing else is written.
    Raises Untrusted("bad-proof") for files that do not lead to its root, or not from our log;
    Malformed, NotFound, Unavailable.
    """
    note = source.read("checkpoint", MAX_NOTE_BYTES)
    head = MirrorHead(source, note, parse_checkpoint(parse_note(note).text))
    size = head.checkpoint.size
    if log.size >= size:
        if read_compact_range(log.hash_reader(), size=size).root() != head.checkpoint.root:
            raise Untrusted("bad-proof", f"{source.name} shows another history than the log here")
        return note
    before = read_compact_range(log.hash_reader(), size=log.size - log.size % FULL_WIDTH)
    tail = verify_tail(head, before)
    if tail.range_at(log.size, before) != log.compact_range():
        raise Untrusted("bad-proof", f"{source.name} shows another history than the log here")
    end = size if most is None else min(most, size)
    if end == most and root is not None and tail.range_at(end, before).root() != root:
        raise Untrusted("bad-proof", f"{source.name} shows another history than is agreed on")
    _append(log, _between(tail.bundles(), before.size, log.size, end))
    return note


def copy_exactly(log: LogFiles, source: Mirror, *, size: int, root: Hash) -> None:
    """Make the log `size` entries long, which hash to `root`. Raises as `copy_published`.

    Unavailable where the source has not published so much.
    """
    if log.size < size:
        copy_published(log, source, most=size, root=root)
    if log.size < size:
        raise Unavailable(f"{source.name} has published {log.size} of {size} entries")
    if read_compact_range(log.hash_reader(), size=size).root() != root:
        raise Misconfigured(
            f"the log here is of another history than the {size} entries that the operators agreed "
            "on: fieldpost operator wipe"
        )


def copy_batch_behind(log: LogFiles, source: Mirror) -> bool:
    """Append the batch that the source has behind our log's end; False where it has none.

    Nothing vouches for it but the rules, which the caller applies. A batch is found by the names of
    its files: a bundle that ends with it has a state leaf at its end.
    """
    entries: list[bytes] = []
    while len(entries) < MAX_BATCH_ENTRIES:
        size = log.size + len(entries)
        found = _bundle_behind(source, size)
        if found is None:
            return False
        entries += found
        if is_state_leaf(entries[-1]):
            log.append(entries)
            return True
    raise Malformed(f"{source.name} has more than {MAX_BATCH_ENTRIES} entries without a state leaf")


def _bundle_behind(source: Mirror, size: int) -> list[bytes] | None:
    """What follows `size` in its bundle: up to the first state leaf, or the whole bundle."""
    index, have = divmod(size, FULL_WIDTH)
    for width in range(have + 1, FULL_WIDTH + 1):
        try:
            data = source.read(entries_path(Tile(0, index, width)), BUNDLE_BYTES)
        except NotFound:
            continue
        entries = decode_entry_bundle(data)[have:]
        if len(entries) != width - have:
            raise Malformed(f"{source.name} has a bundle of another length than its name says")
        leaves = [place for place, entry in enumerate(entries) if is_state_leaf(entry)]
        return entries[: leaves[0] + 1] if leaves else entries
    return None


def _between(bundles: Iterator[list[bytes]], first: int, start: int, end: int) -> Iterator[bytes]:
    """Entries [start, end) of bundles that begin with entry `first`."""
    place = first
    for entries in bundles:
        yield from entries[max(start - place, 0) : max(end - place, 0)]
        place += len(entries)
        if place >= end:
            return


def _append(log: LogFiles, entries: Iterator[bytes]) -> None:
    """Append whole batches, many at once."""
    pending: list[bytes] = []
    batch: list[bytes] = []
    for entry in entries:
        batch.append(entry)
        if not is_state_leaf(entry):
            continue
        if len(pending) + len(batch) > MAX_BATCH_ENTRIES:
            _write(log, pending)
        pending += batch
        batch = []
        if len(pending) >= _WRITTEN_AT_ONCE:
            _write(log, pending)
    if pending:
        _write(log, pending)


def _write(log: LogFiles, pending: list[bytes]) -> None:
    log.append(pending)
    pending.clear()
