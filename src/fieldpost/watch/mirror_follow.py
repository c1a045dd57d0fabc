# SPDX-License-Identifier: Apache-2.0
"""One step of following a board: what a source shows, against everything that was ever seen.

    smaller or equal   our own tree must have had that root; equal size may bring cosignatures
    larger             the source's tiles lead from our tree to the checkpoint's root, every entry
                       hashes to them, every rule holds, and the board's record at that very size
                       has its operators' quorum under the checkpoint: only then is it published

A source is believed nothing. One that does not fit is refused (Untrusted) and others are asked.
Two published heads that exclude each other are no fault of a source: Misbehaviour, for good.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, NoReturn

from fieldpost.checkin.evidence import (
    SplitView,
    board_records,
    keep_signed,
    make_evidence,
    verify_evidence,
)
from fieldpost.engines.base import PublishedHead
from fieldpost.engines.mirrors import (
    Mirror,
    MirrorHead,
    MissingFile,
    Tail,
    entries_of,
    verify_tail,
)
from fieldpost.engines.published import verify_published
from fieldpost.engines.replaying import Replayed, replay_ahead
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import (
    Malformed,
    Misbehaviour,
    NotFound,
    Unavailable,
    Untrusted,
)
from fieldpost.ledger.reading import read_board
from fieldpost.records import map_keys
from fieldpost.records.board import BoardRecord
from fieldpost.tlog.checkpoint import parse_checkpoint
from fieldpost.tlog.hashing import HASH_BYTES, Hash
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.proof import prove_prefix
from fieldpost.tlog.tiles import FULL_WIDTH, TileHashReader, tile_path
from fieldpost.watch.mirror_copy import BoardCopy
from fieldpost.watch.state_evidence import WrongState

_WRITTEN_AT_ONCE: Final = 4_096
# Of one file of evidence.
MOST_ENTRIES: Final = 65_536
_NOT_THERE: Final = (Untrusted, Malformed, NotFound, Unavailable)

# Told every batch once it is durable.
Told = Callable[[Replayed], None]


class BoardFollower:
    """Brings `copy` forward by what sources show. `board`: the only one to begin with, if known.

    `go_on` is asked after every `at_once` entries or more that were written; where it says no, the
    step ends with Paused, and the next one goes on from there.
    """

    def __init__(
        self,
        copy: BoardCopy,
        verifiers: Verifiers,
        *,
        board: str | None = None,
        told: Told = lambda _: None,
        go_on: Callable[[], bool] = lambda: True,
        at_once: int = _WRITTEN_AT_ONCE,
    ) -> None:
        self.copy = copy
        self._verifiers = verifiers
        self._board = board
        self._told = told
        self._go_on = go_on
        self._at_once = at_once

    def step(self, source: Mirror, note: bytes) -> bool:
        """Follow `note`, the newest checkpoint of `source`; whether anything new is published.

        Raises Untrusted and Malformed for a source that shows what is not so; NotFound and
        Unavailable for one that lacks files or cannot be reached; Misbehaviour with the notes,
        which are kept in `evidence`, for what only the board's operators can have done;
        Misconfigured for a folder of another board, or for rules that are unknown here.
        """
        checkpoint = parse_checkpoint(parse_note(note).text)
        record, size = self.copy.record, self.copy.published_size
        if record is not None and checkpoint.origin != record.origin:
            raise Untrusted("wrong-origin", f"{source.name} is {checkpoint.origin}, another board")
        believed = record is not None and _is_published(note, record)
        head = MirrorHead(source, note, checkpoint)
        if checkpoint.size > size:
            self._catch_up(head, record, believed=believed)
            return True
        if record is None:
            raise NotFound(f"{source.name} has nothing yet")
        if self.copy.range_at(checkpoint.size).root() != checkpoint.root:
            self._refuse(head, believed=believed)
        return checkpoint.size == size and believed and self.copy.refresh(note)

    # --- a larger size ---

    def _catch_up(self, head: MirrorHead, record: BoardRecord | None, *, believed: bool) -> None:
        tail = self._tail(head, record, believed=believed)
        try:
            if record is not None and not believed:
                # Others may be operators by then; nothing is written before they are known.
                self._check_later_operators(tail)
            self._append(tail)
            self.copy.publish(head.note)
        except MissingFile as missing:
            raise missing.error from missing
        except (Untrusted, Malformed) as error:
            if believed:
                self._accuse(tail, error)
            self.copy.cut()
            raise

    def _tail(self, head: MirrorHead, record: BoardRecord | None, *, believed: bool) -> Tail:
        """What the source has beyond our log, which must lead to its root."""
        size = self.copy.published_size
        try:
            return self._fit(head, self.copy.log.size)
        except Untrusted:
            if self.copy.log.size > size:
                # What lies beyond came from another source, and nobody has vouched for it.
                tail = self._fit(head, size)
                self.copy.cut()
                return tail
            if record is not None:
                self._refuse(head, believed=believed)
            raise

    def _fit(self, head: MirrorHead, size: int) -> Tail:
        """The source's tail after our first `size` entries. Raises Untrusted("bad-proof")."""
        name, at = head.mirror.name, head.checkpoint.size
        if at < size:
            if self.copy.range_at(at).root() == head.checkpoint.root:
                raise Unavailable(f"{name} is behind what is being fetched from another source")
            raise Untrusted("bad-proof", f"{name} shows another history")
        before = self.copy.range_at(size - size % FULL_WIDTH)
        tail = verify_tail(head, before)
        if tail.range_at(size, before) != self.copy.range_at(size):
            raise Untrusted("bad-proof", f"{name} shows another history")
        return tail

    def _check_later_operators(self, tail: Tail) -> None:
        state = self.copy.state
        for replayed in self._replay(tail):
            state = replayed.batch.state
        assert state is not None  # there was a record to compare with
        verify_published(tail.head.note, read_board(state.map))

    def _replay(self, tail: Tail) -> Iterator[Replayed]:
        entries = entries_of(tail, self.copy.log.size)
        for replayed in replay_ahead(self.copy.state, entries, self._verifiers):
            board = replayed.batch.state.board
            if self._board is not None and board != self._board:
                raise Untrusted("wrong-board", f"{tail.head.mirror.name} is {board}")
            yield replayed

    def _append(self, tail: Tail) -> None:
        pending: list[Replayed] = []
        count = 0
        try:
            for replayed in self._replay(tail):
                size = len(replayed.batch.entries)
                if count + size > self._at_once and pending:
                    self._write(pending)
                    count = 0
                    if not self._go_on():
                        raise Paused(f"{tail.head.mirror.name}: the next step goes on from here")
                pending.append(replayed)
                count += size
        finally:
            if pending:
                self._write(pending)

    def _write(self, pending: list[Replayed]) -> None:
        batches = list(pending)
        pending.clear()
        try:
            self.copy.append(batches)
        except Unavailable:
            self.copy.reopen()
            raise
        for replayed in batches:
            self._told(replayed)

    # --- what does not fit ---

    def _refuse(self, head: MirrorHead, *, believed: bool) -> NoReturn:
        """Another history. A source's own invention, or the work of the board's operators?

        Raises Misbehaviour where they published it, Untrusted otherwise.
        """
        name, ours = head.mirror.name, self.copy.head
        assert ours is not None  # there is a record of it
        try:
            evidence = self._evidence(head, ours)
            proven = verify_evidence(evidence)
        except _NOT_THERE as error:
            raise Untrusted(
                error.reason if isinstance(error, Untrusted) else "bad-proof",
                f"{name} shows another history, and nothing of the board's own says so ({error})",
            ) from error
        theirs = proven.signed_first if ours.note == evidence.second else proven.signed_second
        path = self.copy.save_evidence(
            f"{head.checkpoint.size}-{head.checkpoint.root.hex()[:8]}.evidence",
            evidence.encode(),
            always=believed,
        )
        said = (
            f"{name} shows another history, signed by {', '.join(sorted({s.name for s in theirs}))}"
            f"; `fieldpost verify {path}` shows it to anybody"
        )
        if not believed:
            # One operator's fork publishes nothing, and stops nobody.
            raise Untrusted("split-view", said)
        raise Misbehaviour(
            "split-view",
            f"the operators of this board published two histories: {said}. Devices that see both "
            "freeze; ask the operators, and show others the evidence",
            (ours.note, head.note),
        )

    def _evidence(self, head: MirrorHead, ours: PublishedHead) -> SplitView:
        here, there = ours.checkpoint, head.checkpoint
        path: tuple[Hash, ...] = ()
        if here.size < there.size:
            reader = TileHashReader(
                lambda tile: head.mirror.read(tile_path(tile), FULL_WIDTH * HASH_BYTES), there.size
            )
            path = prove_prefix(reader, old_size=here.size, size=there.size)
        elif here.size > there.size:
            path = prove_prefix(self.copy.log.hash_reader(), old_size=there.size, size=here.size)
        assert self.copy.state is not None  # there is a head
        links = self.copy.links(map_keys.board(), -1, size=here.size)
        board = self.copy.state.board
        theirs = keep_signed(head.note, board_records(board, links))
        return make_evidence(board, (ours.note, theirs), path=path, links=links)

    def _accuse(self, tail: Tail, error: Untrusted | Malformed) -> NoReturn:
        """What the operators published, and the rules refuse. Raises Misbehaviour."""
        head = tail.head
        name = f"{head.checkpoint.size}-refused"
        try:
            evidence = self._state_evidence(tail).encode()
        except (Malformed, MissingFile):
            # Too much for a file, or the source hides it by now: the head alone is kept.
            path = self.copy.save_evidence(f"{name}.note", head.note, always=True)
        else:
            path = self.copy.save_evidence(f"{name}.evidence", evidence, always=True)
        raise Misbehaviour(
            error.reason if isinstance(error, Untrusted) else "wrong-state",
            f"the operators of this board published size {head.checkpoint.size}, and the rules "
            f"refuse it ({error}); their head is kept in {path}",
            (head.note,),
        ) from error

    def _state_evidence(self, tail: Tail) -> WrongState:
        """The head, and what its log has beyond the one that is published here."""
        size, state = self.copy.published_size, self.copy.state
        assert state is not None  # the head is believed, so there is a record
        return WrongState(
            board=state.board,
            links=tuple(self.copy.links(map_keys.board(), -1, size=size)),
            head=tail.head.note,
            base=size,
            entries=tuple(islice(entries_of(tail, size), MOST_ENTRIES)),
        )


class Paused(Unavailable):
    """A step ended because `go_on` said so; what was fetched until then is on the disk."""


def _is_published(note: bytes, record: BoardRecord) -> bool:
    try:
        verify_published(note, record)
    except (Untrusted, Malformed):
        return False
    return True
