# SPDX-License-Identifier: Apache-2.0
"""Every file of a node's data folder, or of a backup, checked against the log; damage is named.

The log proves itself. What it explains is compared with it: state.db and catalog.db row by row,
blobs and manifests by the digests that name them, keys by the board's record, lots and newest
reports by the keys that signed them. Each finding says what to do about that file.

A node may run meanwhile: what is compared is what there was before the log was read
(`fsck_first_look`).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from fieldpost.durable import DiskFull
from fieldpost.engines.keys_audit import KeyFiles, have_signed, look_at_keys, wrong_keys
from fieldpost.engines.replaying import Replayed
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.engines.state_audit import StateAudit
from fieldpost.errors import FieldpostError, Malformed, Misconfigured, NotFound, Unavailable
from fieldpost.fleet.audit import wrong_fleet
from fieldpost.ledger.batch import LedgerState
from fieldpost.ledger.reading import read_board
from fieldpost.node.catalog_audit import wrong_catalog
from fieldpost.node.manifest_audit import wrong_manifest
from fieldpost.posts.envelope import decode_post
from fieldpost.records.board import BoardRecord
from fieldpost.records.lot import LotRecord, decode_lot_record
from fieldpost.records.state_leaf import is_state_leaf
from fieldpost.statemap import StateMap
from fieldpost.store.blob_copy import check_file, is_manifest
from fieldpost.store.log_files import read_checkpoint, read_file
from fieldpost.store.log_leftovers import LogEnd, end_of, find_wrong
from fieldpost.store.sqlite_copy import check_pages
from fieldpost.tlog.checkpoint import open_checkpoint, parse_checkpoint
from fieldpost.tlog.note import VerifierKey, format_note, parse_note
from fieldpost.tlog.tree import CompactRange, read_compact_range
from fieldpost.tlog.treehead import Checkpoint
from fieldpost.watch.fsck_first_look import (
    COPY_AGAIN,
    DATABASES,
    KEYS_AGAIN,
    MARK_AGAIN,
    UPLOAD_AGAIN,
    FirstLook,
    tell_unread,
    version_of,
)
from fieldpost.watch.fsck_log import EntryTree, LogEntries, tree_of
from fieldpost.watch.fsck_report import Finding, Unchecked
from fieldpost.watch.fsck_room import room_in, scratch_folder

_REMOVE: Final = "remove it; the node makes it again if it needs it"
# A batch that is being written has files beyond the end for a moment; so has one that a kill cut.
_AGAIN: Final = "check again; if it is still named, stop the node and remove it"
_LOST: Final = (
    "remove nothing, and put back no older mark: look for the rest of the log "
    "(docs/operations/lost-tail.md)"
)
_NO_END: Final = "the log explains it, and the log lost its end"


class FolderCheck:
    """The check of one folder. `follow` sees every batch of the log, `findings` says the rest.

    It is made before the log is read. All of it raises DiskFull where the scratch folder has no
    room: that is no damage.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._scratch = scratch_folder("fieldpost-audit-")
        self._folder = Path(self._scratch.name)
        self._records: dict[int, BoardRecord] = {}
        self._unjudged: list[Unchecked] = []
        self._state_file = _file_at(data / "state.db")
        try:
            self._seen = FirstLook(data, self._folder)
            copy = self._seen.copies.get("state.db")
            self._state: StateAudit | None = None
            try:
                with self._room():
                    self._state = StateAudit(copy, self._folder) if copy else None
            except Misconfigured as error:
                self._unjudged.append(Unchecked("what is in state.db", str(error)))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove what was made for the comparison."""
        self._scratch.cleanup()

    def marked(self) -> list[Checkpoint]:
        """What the node signed last, in its own words: a damaged checkpoint is not all there is."""
        mark = self._mark()
        return [Checkpoint("largest-signed", mark.size, mark.root)] if mark and mark.size else []

    def have_signed(self, note: bytes) -> bool:
        """Whether a key of this folder signed the checkpoint."""
        return self._seen.keys is not None and have_signed(self._seen.keys, note)

    def follow(self, replayed: Replayed) -> None:
        """The next batch of the log."""
        if self._state is None:
            return
        before, batch = replayed.before, replayed.batch
        map_, size = (before.map, before.size) if before else (None, 0)
        with self._room():
            self._state.follow(map_, size, batch)
        if batch.state.size in self._state.notes:
            self._records[batch.state.size] = read_board(batch.state.map)

    def findings(
        self, entries: LogEntries, state: LedgerState, *, published: LedgerState
    ) -> Iterator[Finding]:
        """All that is damaged. `entries` are all that lie there, `state` is after them.

        The checkpoint is of those up to `published`.
        """
        tree = tree_of(entries)
        yield from self._told()
        is_short = self._is_short(len(entries))
        yield from self._log(entries, tree, published.size, is_short=is_short)
        record = read_board(state.map)
        if self._gave_away(record, read_board(published.map)):
            why = "the board was given to others: docs/operations/move-to-cluster.md"
            self._unjudged.append(Unchecked("keys", why))
        else:
            yield from self._keys(record, tree, len(entries))
        if is_short:
            yield from self._without_end(len(entries))
            return
        if self._state is not None:
            with self._room():
                wrong = [*self._wrong_heads(tree), *self._state.finish()]
            for what in wrong:
                yield Finding(str(self._data / "state.db"), what, DATABASES["state.db"])
        yield from self._databases(entries, state)
        yield from self._blobs(state.map)

    def findings_alone(self, end: LogEnd | None = None) -> Iterator[Finding]:
        """What is damaged whatever the log says: pages of databases, and blobs.

        `end`: that of a log of which the rest holds, if only this is damaged.
        """
        yield from self._told()
        named = {one.file for one in self._seen.told if isinstance(one, Finding)}
        for path, error in end.unread if end else ():
            if str(path) not in named:
                yield from self._unread(path, error, COPY_AGAIN)
        yield from self._alone()

    def _alone(self) -> Iterator[Finding]:
        for name, copy in self._seen.copies.items():
            wrong = list(self._state.broken) if self._state and name == "state.db" else []
            try:
                if not wrong:
                    with self._room():
                        check_pages(copy)
            except DiskFull:
                raise
            except Unavailable as error:
                self._unjudged.append(Unchecked(f"what is in {name}", str(error)))
            except Malformed as error:
                wrong = [str(error)]
            for what in wrong:
                yield Finding(str(self._data / name), what, DATABASES[name])
        yield from self._blobs(None)

    def unexplained(self) -> Iterator[str]:
        """What is here and cannot be judged without the log."""
        for name in DATABASES:
            if name not in self._seen.absent:
                yield f"what is in {name}"
        if self._seen.keys is not None:
            yield "keys"
        yield "who signed the manifests"
        yield "older and unpublished files below log"

    def absent(self) -> Iterator[Unchecked]:
        """What a node's folder has, and this one has not; and what `findings` could not judge."""
        yield from self._unjudged
        for name in self._seen.absent:
            yield Unchecked(name, "it is not in this folder")

    def _room(self) -> AbstractContextManager[None]:
        return room_in(self._folder, self._seen.largest)

    def _mark(self) -> SignedMark | None:
        mark = self._seen.keys.mark if self._seen.keys else None
        return mark if isinstance(mark, SignedMark) else None

    def _told(self) -> Iterator[Finding]:
        for one in self._seen.told:
            yield from self._say(one)

    def _unread(self, path: Path, error: FieldpostError, advice: str) -> Iterator[Finding]:
        yield from self._say(tell_unread(path, error, advice))

    def _say(self, one: Finding | Unchecked) -> Iterator[Finding]:
        if isinstance(one, Finding):
            yield one
        else:
            self._unjudged.append(one)

    def _is_short(self, size: int) -> bool:
        """Whether there were more than the `size` entries that the log has by now."""
        mark = self._mark()
        if mark is not None and mark.size > size:
            return True
        if self._state is None or self._state.size <= size:
            return False
        # A mirror that takes back what nobody published sets its state.db aside first.
        if _file_at(self._data / "state.db") == self._state_file:
            return True
        self._unjudged.append(Unchecked("what is in state.db", "it was made anew meanwhile"))
        self._state = None
        return False

    def _without_end(self, size: int) -> Iterator[Finding]:
        """Where the log lost its end: what knows of it is no damage, and is nowhere else."""
        mark = self._mark()
        if self._state is not None and (mark is None or mark.size <= size):
            what = f"it is of size {self._state.size}, the log has {size} entries"
            yield Finding(str(self._data / "state.db"), what, _LOST)
        self._unjudged += [Unchecked(f"what is in {name}", _NO_END) for name in self._seen.copies]
        self._unjudged.append(Unchecked("who signed the manifests", _NO_END))
        yield from self._alone()

    def _log(
        self, entries: LogEntries, tree: EntryTree, signed: int, *, is_short: bool
    ) -> Iterator[Finding]:
        mark = self._mark()
        # Without a mark nobody knows how long the log was.
        may_be_short = is_short or (self._seen.keys is not None and not (mark and mark.size))
        log = self._data / "log"
        for path in self._seen.log:
            try:
                wrong = find_wrong(log, path, entries, tree)
            except NotFound:
                continue
            except Unavailable as error:
                end = end_of(log, path)
                advice = _advice(end, signed, may_be_short=may_be_short)
                # A node that runs writes no full tile again.
                if end is not None and end <= len(entries) and path.parent.suffix != ".p":
                    advice = COPY_AGAIN
                yield from self._unread(path, error, advice)
                continue
            if wrong is not None:
                advice = _advice(wrong.end, signed, may_be_short=may_be_short)
                yield Finding(str(path), wrong.what, advice)

    def _wrong_heads(self, tree: EntryTree) -> Iterator[str]:
        assert self._state is not None  # the caller looked
        for size, note in self._state.notes.items():
            record = self._records.get(size)
            if record is None:
                yield f"it keeps a head of size {size}, where no batch ends"
            elif not isinstance(note, bytes):
                yield f"the head of size {size} in it is damaged: it is no note"
            else:
                try:
                    check_note(note, record, read_compact_range(tree, size=size))
                except FieldpostError as error:
                    yield f"the head of size {size} in it is damaged: {error}"

    def _databases(self, entries: LogEntries, state: LedgerState) -> Iterator[Finding]:
        def lot_at(index: int) -> LotRecord | None:
            if not 0 <= index < len(entries) or is_state_leaf(entries[index]):
                return None
            statement = decode_post(entries[index]).statement
            return decode_lot_record(statement.payload) if statement.kind == "lot.enrol" else None

        for name in ("catalog.db", "fleet.db"):
            copy = self._seen.copies.get(name)
            if copy is None:
                continue
            try:
                with self._room():
                    wrong = list(
                        wrong_catalog(copy, entries, state.board, self._folder)
                        if name == "catalog.db"
                        else wrong_fleet(copy, lot_at, state.board)
                    )
            except DiskFull:
                raise
            except (Misconfigured, Unavailable) as error:
                # Of a newer program: whole, for all that this one knows.
                self._unjudged.append(Unchecked(f"what is in {name}", str(error)))
                continue
            for what in wrong:
                yield Finding(str(self._data / name), what, DATABASES[name])

    def _blobs(self, map_: StateMap | None) -> Iterator[Finding]:
        """Those that are not what they are named after, or, if `map_` is known, not signed."""
        blobs = self._data / "blobs"
        for path, version in self._seen.blobs.items():
            try:
                check_file(blobs, path)
                what = None
                if map_ is not None and is_manifest(blobs, path):
                    what = wrong_manifest(read_file(path), map_)
                if what is not None and version_of(path) != version:
                    again = Unchecked(str(path), "it was sent again meanwhile: check again")
                    self._unjudged.append(again)
                    continue
            except Malformed as error:
                what = str(error)
            except (NotFound, FileNotFoundError):
                continue
            except OSError as error:
                self._unjudged.append(Unchecked(str(path), f"cannot read it: {error.strerror}"))
                continue
            except Unavailable as error:
                yield from self._unread(path, error, UPLOAD_AGAIN)
                continue
            if what is not None:
                yield Finding(str(path), what, UPLOAD_AGAIN)

    def _keys(self, record: BoardRecord, tree: EntryTree, size: int) -> Iterator[Finding]:
        if (keys := self._seen.keys) is None:
            return
        mark = self._mark()
        wrong = dict(wrong_keys(keys, record, tree, size))
        # A rotation may have come between these files and the record: what is right now is right.
        again = dict(wrong_keys(look_at_keys(keys.folder), record, tree, size)) if wrong else {}
        for path, what in wrong.items():
            if path in again:
                is_ahead = mark is not None and mark.size > size
                advice = _LOST if is_ahead else MARK_AGAIN
                yield Finding(str(path), what, advice if path == keys.mark_path else KEYS_AGAIN)
        if mark is not None and mark.size == 0:
            yield from self._missing_mark(keys)

    def _gave_away(self, record: BoardRecord, published: BoardRecord) -> bool:
        """Whether `record` names none of those of before, nor whose keys these are."""
        before = {operator.name for operator in published.operators}
        if self._seen.keys is None or before & {operator.name for operator in record.operators}:
            return False
        held = {key for key in self._seen.keys.public.values() if not isinstance(key, str)}
        return not held & {operator.log_key.public_key for operator in record.operators}

    def _missing_mark(self, keys: KeyFiles) -> Iterator[Finding]:
        """A mark comes before the first signature, so whoever signed has one."""
        try:
            note = read_checkpoint(self._data / "log")
        except Unavailable:
            return
        again = look_at_keys(keys.folder).mark
        if note and have_signed(keys, note) and isinstance(again, SignedMark) and not again.size:
            what = "it is missing, and the log key here signed the checkpoint"
            yield Finding(str(keys.mark_path), what, MARK_AGAIN)


def _file_at(path: Path) -> int | None:
    """Which file has this name now."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _advice(end: int | None, signed: int, *, may_be_short: bool) -> str:
    if end is None or end <= signed:
        return _REMOVE
    return _LOST if may_be_short else _AGAIN


def check_note(note: bytes, record: BoardRecord, range_: CompactRange) -> None:
    """Check a note that this board's node wrote: nothing in it may be unknown, spare or wrong.

    Raises Malformed and Untrusted.
    """
    parsed = parse_note(note)
    checkpoint = parse_checkpoint(parsed.text)
    keys: dict[tuple[str, bytes], VerifierKey] = {}
    for operator in record.operators:
        for key in (operator.log_key, *operator.cosigner_keys):
            keys[key.name, key.key_id] = key
    for witness in record.witnesses:
        keys[witness.key.name, witness.key.key_id] = witness.key
    _, verified = open_checkpoint(note, keys.values(), origin=record.origin)
    if format_note(parsed) != note or len(verified) != len(parsed.signatures):
        raise Malformed("it has a line that nobody of this board signed")
    if (checkpoint.size, checkpoint.root) != (range_.size, range_.root()):
        raise Malformed("it states another root than the entries have")
