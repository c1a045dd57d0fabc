# SPDX-License-Identifier: Apache-2.0
"""Before a node signs anything: has it signed more than this disk knows? Then fetch that first.

A data directory may be an old backup, and nothing in it need tell. Mirrors can: each is asked for
the largest size that this node's key signed there. What is missing here is verified from our own
tree to that signature, judged by every rule, and only then written. Nothing is ever cut.

    up to date                 the node goes on
    behind, and nobody has it  the node takes no posts and signs nothing; it asks again
    nobody answers             likewise
    two histories signed       refused for ever, with both notes kept as evidence
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from fieldpost.durable import OS, Disk, make_dirs, remove, write_file
from fieldpost.engines.board_files import (
    keys_directory,
    log_directory,
    read_board_id,
)
from fieldpost.engines.mirrors import (
    Mirror,
    MirrorHead,
    MissingFile,
    Tail,
    entries_of,
    open_mirror,
    verify_tail,
)
from fieldpost.engines.operator_keys import log_keys
from fieldpost.engines.recovery import Watch, load_ledger
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.errors import (
    Malformed,
    Misbehaviour,
    Misconfigured,
    NotFound,
    Unavailable,
    Untrusted,
)
from fieldpost.ledger.batch import LedgerState
from fieldpost.ledger.replay import replay, replay_batches
from fieldpost.records.identifiers import origin_of
from fieldpost.store.log_files import MAX_BATCH_ENTRIES, LogFiles, read_checkpoint
from fieldpost.store.log_recovery import open_log
from fieldpost.store.state_db import StateDb
from fieldpost.store.state_files import set_aside
from fieldpost.tlog.checkpoint import parse_checkpoint
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.tiles import FULL_WIDTH
from fieldpost.tlog.tree import CompactRange, read_compact_range

RESTORED: Final = "restored"
_WRITTEN_AT_ONCE: Final = 4_096
_TROUBLE = (Untrusted, Malformed, NotFound, Unavailable)


@dataclass(frozen=True, slots=True)
class Caught:
    """What asking the mirrors came to. `behind`: why nothing may be signed yet; None: go on."""

    grew: bool
    behind: str | None


def is_restored(data: Path) -> bool:
    """Whether this directory came from a backup, and nobody has said yet that it is the newest."""
    return (data / RESTORED).exists()


def catch_up(
    data: Path, mirrors: Sequence[Mirror], *, watch: Watch | None = None, disk: Disk = OS
) -> Caught:
    """Ask the mirrors, and fetch what this directory lacks. Call before the board is opened.

    Raises Misbehaviour with both notes where this node's key signed two histories, Misconfigured
    where entries that were never signed stand in the way, Untrusted for a signed tail that breaks
    the rules, Unavailable if the disk fails.
    """
    node = _Node(data, disk)
    before = node.log.size
    heads, troubles = node.ask(mirrors)
    troubles += node.fetch_from(heads, watch)
    said = "; ".join(troubles)
    behind: str | None = None
    if node.log.size < node.mark.size:
        behind = (
            f"this node signed size {node.mark.size}, its log has {node.log.size} entries, and no "
            f"mirror has the rest ({said or 'none is ahead'}). Name another mirror or restore a "
            "newer backup; if the entries are lost everywhere: docs/operations/lost-tail.md"
        )
    elif is_restored(data) and (troubles or not heads):
        behind = (
            "this directory was restored from a backup, and every mirror must say first what this "
            f"node signed last: {said or 'none of them has anything of this board'}"
        )
    elif len(troubles) >= len(mirrors):
        behind = f"a mirror must say first what this node signed last: {said}"
    else:
        remove(data / RESTORED, disk=disk)
    return Caught(node.log.size > before, behind)


class _NotThere(Exception):
    """A mirror lacks, or spoils, part of what its checkpoint states; another may have it."""


class _Node:
    """The log of one directory, and what its keys signed."""

    def __init__(self, data: Path, disk: Disk) -> None:
        self._data = data
        self._disk = disk
        self.keys = log_keys(keys_directory(data))
        self.mark = SignedMark(keys_directory(data), disk=disk)
        self.log: LogFiles = open_log(log_directory(data), disk=disk)

    def origin(self) -> str | None:
        """The board's origin; None while the log is empty."""
        return origin_of(read_board_id(self.log)) if self.log.size else None

    def _range(self, size: int) -> CompactRange:
        return read_compact_range(self.log.hash_reader(), size=size)

    def ask(self, mirrors: Sequence[Mirror]) -> tuple[list[MirrorHead], list[str]]:
        """What this node signed, by its mirrors; and what is wrong with the others.

        The largest of it is made durable at once, so that it is known also without mirrors.
        """
        heads: list[MirrorHead] = []
        troubles: list[str] = []
        for mirror in mirrors:
            try:
                head = open_mirror(mirror, self.keys, origin=self.origin())
            except _TROUBLE as error:
                troubles.append(_blame(mirror, error))
                continue
            if head is not None:
                heads.append(head)
        heads.sort(key=lambda one: one.checkpoint.size, reverse=True)
        if heads and heads[0].checkpoint.size > self.mark.size:
            self.mark.record(heads[0].checkpoint.size, heads[0].checkpoint.root)
        return heads, troubles

    def fetch_from(self, heads: Sequence[MirrorHead], watch: Watch | None) -> list[str]:
        """Fetch what we lack, from the longest mirror that has it. Returns what went wrong."""
        troubles: list[str] = []
        for head in heads:
            size = head.checkpoint.size
            try:
                if size > self.log.size:
                    self._fetch(head, watch)
                elif size and self._range(size).root() != head.checkpoint.root:
                    self._diagnose(head)
                    if size <= self._published():
                        self._refuse(head)
                    raise _NotThere(f"{head.mirror.name} lacks files of its history")
            except _NotThere as missing:
                troubles.append(str(missing))
        return troubles

    def _fetch(self, head: MirrorHead, watch: Watch | None) -> None:
        """Append what `head` has and we lack. Raises _NotThere, and as `catch_up`."""
        whole = self.log.size - self.log.size % FULL_WIDTH
        before = self._range(whole)
        try:
            tail = verify_tail(head, before)
            same = tail.range_at(self.log.size, before) == self._range(self.log.size)
        except _TROUBLE as error:
            self._diagnose(head)
            raise _NotThere(_blame(head.mirror, error)) from error
        if not same:
            self._diagnose(head)
            raise _NotThere(f"{head.mirror.name} shows two histories: its files are damaged")
        self._append(self._state(watch), tail, watch)

    def _diagnose(self, head: MirrorHead) -> None:
        """Is the mirror whole, and its history another one? Then it is about us."""
        empty, published = CompactRange.empty(), self._published()
        try:
            tail = verify_tail(head, empty)
            if published <= head.checkpoint.size:
                same = tail.range_at(published, empty) == self._range(published)
            else:
                same = False
        except _TROUBLE:
            return
        if same:
            raise Misconfigured(
                f"{head.mirror.name} shows a history that this node signed; the log here ends with "
                "entries that were never published and are not in it. Move log and state.db "
                "aside and start again, so that everything comes from the mirror"
            )
        self._refuse(head)

    def _published(self) -> int:
        note = read_checkpoint(log_directory(self._data))
        return parse_checkpoint(parse_note(note).text).size if note else 0

    def _refuse(self, head: MirrorHead) -> NoReturn:
        own = read_checkpoint(log_directory(self._data)) or b""
        folder = self._data / "evidence"
        make_dirs(folder, disk=self._disk)
        for name, note in (("here", own), ("mirror", head.note)):
            write_file(folder / f"{head.checkpoint.size}-{name}.note", note, disk=self._disk)
        raise Misbehaviour(
            "split-view",
            f"this node's log key signed two histories: one is here, the other at "
            f"{head.mirror.name}. Both notes are kept in {folder}. This board cannot go on under "
            "its name; what to do now: docs/operations/lost-tail.md",
            (own, head.note),
        )

    def _state(self, watch: Watch | None) -> LedgerState | None:
        """The state at the end of our log; None for an empty one."""
        if self.log.size == 0:
            return None
        db = StateDb(self._data / "state.db")
        try:
            if db.size() <= self.log.size:
                return load_ledger(self.log, db, watch)
        finally:
            db.close()
        # The database knows more than the log, and cannot go back to what is published here.
        set_aside(self._data / "state.db", disk=self._disk)
        return replay(None, self.log.read_entries(0, self.log.size))

    def _append(self, state: LedgerState | None, tail: Tail, watch: Watch | None) -> None:
        pending: list[bytes] = []
        size = tail.head.checkpoint.size
        entries = entries_of(tail, self.log.size)
        try:
            for batch in replay_batches(state, entries):
                if len(pending) + len(batch.entries) > MAX_BATCH_ENTRIES:
                    self._write(pending)
                pending += batch.entries
                if len(pending) >= _WRITTEN_AT_ONCE:
                    self._write(pending)
                if watch is not None:
                    watch(self.log.size, size)
        except MissingFile as missing:
            raise _NotThere(_blame(tail.head.mirror, missing.error)) from missing.error
        except (Untrusted, Malformed) as error:
            raise Untrusted(
                "bad-signature" if not isinstance(error, Untrusted) else error.reason,
                f"{tail.head.mirror.name} has entries that this node's log key signed and the "
                f"rules refuse ({error}): somebody else may have that key; nothing of them was "
                "written. See docs/operations/lost-tail.md",
            ) from error
        finally:
            if pending:
                self._write(pending)

    def _write(self, pending: list[bytes]) -> None:
        self.log.append(pending)
        pending.clear()


def _blame(mirror: Mirror, error: Exception) -> str:
    said = str(error)
    return said if mirror.name in said else f"{mirror.name}: {said}"
