# SPDX-License-Identifier: Apache-2.0
"""A board's copy on the disk, as a node's data folder without keys: log, state.db, blobs.

    append     entry bundles and tiles durable -> state transaction, with the size
    publish    notes of older sizes that some policy needs -> checkpoint replaced

What lies beyond the checkpoint was judged by every rule, but nobody has vouched for it yet: it is
where an interrupted catch-up goes on, and `cut` takes it back when it leads to no published head.
Whoever follows a board decides what to append (`watch.mirror_follow`); nothing is decided here.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, make_dirs, write_file
from fieldpost.engines.base import PublishedHead
from fieldpost.engines.board_files import log_directory
from fieldpost.engines.exclusive import DirectoryLock
from fieldpost.engines.published import (
    PublishedHeads,
    assemble_head,
    cosign_later,
)
from fieldpost.engines.recovery import (
    Watch,
    check_not_ahead,
    load_heads,
    load_ledger,
    set_aside_unknown_version,
)
from fieldpost.engines.replaying import Replayed
from fieldpost.engines.writer import change_of
from fieldpost.errors import Misconfigured, Unavailable, Untrusted
from fieldpost.ledger.batch import LedgerState
from fieldpost.ledger.reading import read_board
from fieldpost.records.board import BoardRecord
from fieldpost.store.log_cut import cut_log
from fieldpost.store.log_files import LogFiles
from fieldpost.store.log_recovery import open_log
from fieldpost.store.state_db import StateDb
from fieldpost.store.state_files import set_aside, state_db_version
from fieldpost.tlog.checkpoint import Checkpoint, open_checkpoint
from fieldpost.tlog.note import NoteSignature, parse_note
from fieldpost.tlog.tree import CompactRange, read_compact_range

MOST_EVIDENCE: Final = 64


class BoardCopy:
    """The copy below `data`, for one writing thread; others may read `heads` and the log.

    `state` is what was judged, `heads` what is published; both None at the beginning. `watch`
    follows entries that must be applied again. Raises Misconfigured for a folder that is in use, or
    is damaged, or is a node's unless it is `to_be_node`; Unavailable.
    """

    def __init__(
        self,
        data: Path,
        *,
        to_be_node: bool = False,
        watch: Watch | None = None,
        disk: Disk = OS,
    ) -> None:
        self.data = data
        self._disk = disk
        self._watch = watch
        make_dirs(data, disk=disk)
        if (data / "keys").exists() and not to_be_node:
            raise Misconfigured(f"{data} is a node's folder: choose one of its own for a mirror")
        self._lock = DirectoryLock(data)
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        self.log: LogFiles = open_log(log_directory(self.data), disk=self._disk)
        path = self.data / "state.db"
        set_aside_unknown_version(path, self.log, self._disk)
        known = state_db_version(path)
        if known is not None:
            check_not_ahead(known[1], self.log)
        self.db = StateDb(path)
        self.state: LedgerState | None = None
        self.heads: PublishedHeads | None = None
        try:
            if self.log.size:
                self.state = load_ledger(self.log, self.db, self._watch)
                self.heads = load_heads(self.log, self.db, self.state)
        except BaseException:
            self.db.close()
            raise

    def close(self) -> None:
        """Let go of the folder."""
        self.db.close()
        self._lock.release()

    @property
    def head(self) -> PublishedHead | None:
        """The newest published head."""
        return self.heads.newest if self.heads else None

    @property
    def published_size(self) -> int:
        """How many entries are published; 0 at the beginning."""
        return self.head.size if self.head else 0

    @property
    def record(self) -> BoardRecord | None:
        """The board's record as the newest published head has it."""
        return read_board(self.head.map) if self.head else None

    def range_at(self, size: int) -> CompactRange:
        """The tree at a size up to the log's."""
        return read_compact_range(self.log.hash_reader(), size=size)

    def append(self, batches: Sequence[Replayed]) -> None:
        """Make judged batches durable, which follow `state`. Raises Unavailable.

        Then `reopen` must be called: nobody knows how much of it is on the disk.
        """
        changes = [
            change_of(
                one.before.map if one.before else None,
                one.before.size if one.before else 0,
                one.batch,
                one.decode,
            )
            for one in batches
        ]
        self.log.append([entry for one in batches for entry in one.batch.entries])
        # Without a head nothing has to be led back to.
        keep = self.heads.oldest_size if self.heads else changes[-1].size
        self.db.commit_many(changes, keep=keep)
        self.state = batches[-1].batch.state

    def publish(self, note: bytes) -> None:
        """Show the size of `state` as published. The caller knows that `note` states its root.

        Raises Untrusted as `verify_published`, by this state's own record; Unavailable.
        """
        assert self.state is not None  # there is something that a note can be about
        record = read_board(self.state.map)
        checkpoint, signature, lines = _open(note, record)
        if (checkpoint.size, checkpoint.root) != (self.log.size, self.log.compact_range().root()):
            raise ValueError("a note about another tree")
        try:
            head = assemble_head(
                checkpoint,
                signature,
                lines,
                record=record,
                state_leaf=self.state.last.encode(),
                edge=self.log.last_edge(),
                map_=self.state.map,
            )
        except Unavailable as error:
            raise Untrusted("no-quorum", str(error)) from error
        self._show(head)

    def refresh(self, note: bytes) -> bool:
        """Take the cosignatures of a note about the published head; whether any was new.

        Of each cosigner the latest stays. Raises Untrusted("bad-signature"), Unavailable.
        """
        before = self.head
        assert before is not None  # a note is about it
        head = cosign_later(before, parse_note(note).signatures, read_board(before.map))
        if head.note == before.note:
            return False
        self._show(head)
        return True

    def _show(self, head: PublishedHead) -> None:
        heads = self.heads.with_head(head) if self.heads else PublishedHeads((head,))
        older = {one.size: one.note for one in heads.heads[:-1]}
        if older != self.db.heads():
            self.db.save_heads(older)
        self.log.write_checkpoint(head.note)
        self.heads = heads
        # Needless files do no harm; the next time tries again.
        with suppress(Unavailable):
            self.log.drop_superseded()

    def cut(self) -> None:
        """Take back what lies beyond the published size. Raises Unavailable, Misconfigured."""
        size = self.published_size
        self.db.close()
        # First, so that it is never ahead of the log; it is made anew.
        set_aside(self.data / "state.db", disk=self._disk)
        cut_log(log_directory(self.data), size, disk=self._disk)
        self._open()

    def reopen(self) -> None:
        """Look at the disk again after an error of `append` or `cut`. Raises as the constructor."""
        self.db.close()
        self._open()

    def links(self, record_key: bytes, since: int, *, size: int) -> list[bytes]:
        """The link entries of a record (by map key) below `size`, with epoch > `since`."""
        return [
            self.log.read_entry(index)
            for index in self.db.links_since(record_key, since, size=size)
        ]

    def save_evidence(self, name: str, data: bytes, *, always: bool) -> Path:
        """Keep what cannot be honest; where it is. Raises Unavailable.

        Whoever holds one key can make any number of it, so only some is kept, unless `always`.
        """
        folder = self.data / "evidence"
        make_dirs(folder, disk=self._disk)
        if always or len(list(folder.iterdir())) < MOST_EVIDENCE:
            write_file(folder / name, data, disk=self._disk)
        return folder / name


def _open(
    note: bytes, record: BoardRecord
) -> tuple[Checkpoint, NoteSignature, list[NoteSignature]]:
    """The checkpoint, the log signature of an operator, and all the note's other lines."""
    log_keys = [operator.log_key for operator in record.operators]
    checkpoint, verified = open_checkpoint(note, log_keys, origin=record.origin)
    first = verified[0].signature
    return checkpoint, first, [line for line in parse_note(note).signatures if line != first]
