# SPDX-License-Identifier: Apache-2.0
"""Every file of a node's data folder, or of a backup, checked against the log; damage is named.

The log proves itself. What it explains is compared with it: state.db and catalog.db row by row,
blobs and manifests by the digests that name them, keys by the board's record, lots and newest
reports by the keys that signed them. Each finding says what to do about that file.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fieldpost.durable import DiskFull
from fieldpost.engines.keys_audit import wrong_keys
from fieldpost.engines.replaying import Replayed
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
from fieldpost.store.blob_copy import check_file, stored_files
from fieldpost.store.log_leftovers import wrong_files
from fieldpost.store.sqlite_copy import check_pages, copy_database
from fieldpost.tlog.checkpoint import open_checkpoint, parse_checkpoint
from fieldpost.tlog.note import VerifierKey, format_note, parse_note
from fieldpost.tlog.tree import CompactRange, read_compact_range
from fieldpost.watch.fsck_log import EntryTree, LogEntries, tree_of
from fieldpost.watch.fsck_report import Finding, Unchecked

_ADVICE: Final = {
    "state.db": "stop the node and run `fieldpost node rebuild`",
    "catalog.db": "stop the node and remove it; it is filled again from the log",
    "fleet.db": "stop the node and put it back from a backup; it is nowhere else",
}


class FolderCheck:
    """The check of one folder. `follow` sees every batch of the log, `findings` says the rest.

    All of it raises DiskFull where the scratch folder has no room: that is no damage.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._scratch = tempfile.TemporaryDirectory(prefix="fieldpost-audit-")
        self._folder = Path(self._scratch.name)
        self._records: dict[int, BoardRecord] = {}
        self._unjudged: list[Unchecked] = []
        path = data / "state.db"
        try:
            with _room_in(self._folder):
                self._state = StateAudit(path, self._folder) if path.exists() else None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove what was made for the comparison."""
        self._scratch.cleanup()

    def follow(self, replayed: Replayed) -> None:
        """The next batch of the log."""
        if self._state is None:
            return
        before, batch = replayed.before, replayed.batch
        map_, size = (before.map, before.size) if before else (None, 0)
        with _room_in(self._folder):
            self._state.follow(map_, size, batch)
        if batch.state.size in self._state.notes:
            self._records[batch.state.size] = read_board(batch.state.map)

    def findings(self, entries: LogEntries, state: LedgerState) -> Iterator[Finding]:
        """All that is damaged. `entries` are all that lie there, `state` is after them."""
        data, record = self._data, read_board(state.map)
        tree = tree_of(entries)
        for path, what in wrong_files(data / "log", entries, tree):
            yield Finding(str(path), what, "remove it; the node makes it again if it needs it")
        if self._state is not None:
            with _room_in(self._folder):
                wrong = [*self._wrong_heads(tree), *self._state.finish()]
            for what in wrong:
                yield Finding(str(data / "state.db"), what, _ADVICE["state.db"])
        yield from self._databases(entries, state)
        yield from self._blobs(state)
        if (data / "keys").is_dir():
            for path, what in wrong_keys(data / "keys", record, tree, len(entries)):
                yield Finding(str(path), what, "put it back from your copy of the keys")

    def findings_alone(self) -> Iterator[Finding]:
        """What is damaged whatever the log says: pages of databases, and blobs."""
        for name, advice in _ADVICE.items():
            path, copy = self._data / name, self._folder / f"alone-{name}"
            if path.exists():
                try:
                    with _room_in(self._folder):
                        copy_database(path, copy)
                    check_pages(copy)
                except DiskFull:
                    raise
                except (Unavailable, Malformed) as error:
                    yield Finding(str(path), str(error), advice)
        for path in stored_files(self._data / "blobs"):
            try:
                check_file(path)
            except Malformed as error:
                yield Finding(str(path), str(error), "remove it; its maker uploads it again")
            except NotFound:
                continue

    def unexplained(self) -> Iterator[str]:
        """What is here and cannot be judged without the log."""
        for name in _ADVICE:
            if (self._data / name).exists():
                yield f"what is in {name}"
        if (self._data / "keys").is_dir():
            yield "keys"
        yield "who signed the manifests"
        yield "older and unpublished files below log"

    def absent(self) -> Iterator[Unchecked]:
        """What a node's folder has, and this one has not; and what `findings` could not judge."""
        yield from self._unjudged
        for name in ("state.db", "catalog.db", "fleet.db", "keys"):
            if not (self._data / name).exists():
                yield Unchecked(name, "it is not in this folder")

    def _wrong_heads(self, tree: EntryTree) -> Iterator[str]:
        assert self._state is not None  # the caller looked
        for size, note in self._state.notes.items():
            record = self._records.get(size)
            if record is None:
                yield f"it keeps a head of size {size}, where no batch ends"
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
            advice = _ADVICE[name]
            path, copy = self._data / name, self._folder / name
            if not path.exists():
                continue
            try:
                with _room_in(self._folder):
                    copy_database(path, copy)
                    wrong = list(
                        wrong_catalog(copy, entries, state.board, self._folder)
                        if name == "catalog.db"
                        else wrong_fleet(copy, lot_at, state.board)
                    )
            except DiskFull:
                raise
            except Unavailable as error:
                wrong = [str(error)]
            except Misconfigured as error:
                # Of a newer program: whole, for all that this one knows.
                self._unjudged.append(Unchecked(f"what is in {name}", str(error)))
                continue
            for what in wrong:
                yield Finding(str(path), what, advice)

    def _blobs(self, state: LedgerState) -> Iterator[Finding]:
        for path in stored_files(self._data / "blobs"):
            try:
                check_file(path)
                what = None
                if "manifests" in path.parts:
                    what = wrong_manifest(path.read_bytes(), state.map)
            except Malformed as error:
                what = str(error)
            except NotFound:
                continue
            if what is not None:
                yield Finding(str(path), what, "remove it; its maker uploads it again")


@contextmanager
def _room_in(scratch: Path) -> Iterator[None]:
    """For work in the scratch folder: where its disk is full, say which one, and what to do."""
    try:
        yield
    except DiskFull as error:
        raise DiskFull(
            f"there is no room in {scratch.parent} for copies of the databases, as large as they "
            f"are, and nothing is said of this folder: make room there, or set TMPDIR to a folder "
            f"on another disk ({error})",
            None,
        ) from error


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
