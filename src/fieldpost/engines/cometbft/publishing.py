# SPDX-License-Identifier: Apache-2.0
"""From a size that the operators agreed on to a published head: cosign it, gather, show it.

    agree(computed)      CometBFT committed the block that carries this replica's hash
    -> largest signed size durable -> log signature, cosignatures of this operator
    -> peers take these lines and give theirs, verified one by one
    -> with the quorum's: checkpoint replaced, posts answered

Every size is signed in order; one that fell far behind begins at the newest. A size that the block
after it does not confirm is never signed, so a replica that computes something else signs nothing.
Unchanged heads are cosigned again every `epoch_s`.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldpost.engines.base import CommittedHead, PublishedHead
from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.clock_guard import MOST_BEHIND_S, ClockGuard
from fieldpost.engines.cometbft.open_size import OpenSize
from fieldpost.engines.cometbft.presence import Presence
from fieldpost.engines.cometbft.replica import Computed
from fieldpost.engines.cometbft.signed_waits import SignedWaits
from fieldpost.engines.operator_keys import OperatorKeys, find_keys
from fieldpost.engines.published import PublishedHeads, TooFew, assemble_head
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.errors import (
    FieldpostError,
    Malformed,
    Misbehaviour,
    Misconfigured,
    NotFound,
    Unavailable,
)
from fieldpost.journal import tell
from fieldpost.ledger.batch import LedgerState
from fieldpost.ledger.reading import read_board
from fieldpost.records.board import Operator
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.tlog.checkpoint import open_checkpoint, sign_checkpoint
from fieldpost.tlog.note import NoteSignature, VerifierKey

# Sizes whose lines are kept for peers that come later, and that wait for their quorum.
MOST_OPEN: Final = 64
_MOST_BEHIND: Final = 16
_TICK_S: Final = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Lines that a peer may have: over `size`, cosigned at `since` or later (Unix seconds)."""

    size: int
    since: int


# Writes a checkpoint and the notes of older sizes that are still needed.
Show = Callable[[bytes, dict[int, bytes]], None]


class Publisher:
    """One operator's cosigner and its published heads. For any thread; works on one of its own.

    `show` makes a head durable; `published` hears of each, on the publisher's thread. Whoever has
    no keys of an operator in `data` signs nothing and shows what the operators signed.
    """

    def __init__(
        self,
        data: Path,
        *,
        board: str,
        mark: SignedMark,
        clock: ClockGuard,
        heads: PublishedHeads | None,
        show: Show,
        published: Callable[[PublishedHead], None],
    ) -> None:
        self._keys_directory = keys_directory(data)
        self._board = board
        self._mark = mark
        self._clock = clock
        self._show = show
        self._published = published
        self.heads = heads
        self.presence = Presence()
        self.waits = SignedWaits()
        self._trouble: str | None = None
        # Told, on the publisher's thread, of what `newest_cosigned` gives.
        self.followers: list[Callable[[CommittedHead], None]] = []
        self._told = b""
        self._signed_at = heads.newest.timestamp if heads is not None else 0
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._queue: deque[Computed] = deque()
        self._sizes: dict[int, OpenSize] = {}
        self._closed = False
        self._changed = False
        if heads is not None:
            self.presence.publish(heads.newest.size)
            self._take_over(heads.newest)
        self._thread = threading.Thread(target=self._run, name="fieldpost-publish", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """Why nothing new can be published, and what to do; None while all is well."""
        return self._trouble or self.presence.trouble

    @property
    def newest_size(self) -> int:
        """The largest size that was agreed on here; at least 1."""
        with self._lock:
            return max(self._sizes, default=1)

    def agree(self, computed: Computed) -> None:
        """The operators agreed on a size that this replica computed. Does not wait."""
        with self._wake:
            self._queue.append(computed)
            self._wake.notify_all()

    def resume(self, computed: Computed) -> None:
        """After a start: the size that the replica has, agreed on if it was signed here before.

        Its lines may have been lost with the process, and no block need follow that says so again.
        """
        if self._mark.names(computed.checkpoint.size, computed.checkpoint.root):
            self.agree(computed)

    def wait_wanted(self, operator: str, timeout_s: float) -> list[Wanted]:
        """What an operator may have signed and this node lacks, oldest first, once there is any.

        Empty after `timeout_s`, or when all is over.
        """
        with self._wake:
            self._wake.wait_for(lambda: self._closed or self._wanted(operator), timeout_s)
            return [] if self._closed else self._wanted(operator)

    def _wanted(self, operator: str) -> list[Wanted]:
        newest = self.heads.newest.size if self.heads else 0
        found = []
        for size, one in sorted(self._sizes.items()):
            if size < newest:
                continue
            has = [
                one.lines[key][0]
                for member in one.record.operators
                if member.name == operator
                for key in member.cosigner_keys
                if key in one.lines
            ]
            if max(has, default=-1) < one.since:
                found.append(Wanted(size, one.since))
        return found

    def note_of(self, size: int) -> bytes:
        """Everything that is signed over a size: a note, ours first. Raises NotFound."""
        with self._lock:
            one = self._sizes.get(size)
            if one is None or not one.lines:
                raise NotFound(f"nothing is cosigned here for size {size}, or not any more")
            return one.note()

    def add_note(self, size: int, note: bytes) -> bool:
        """Take a peer's lines over a size; whether any was new.

        Raises Malformed, NotFound for a size that nobody waits for, Untrusted for a bad signature
        of a known key, and Misbehaviour("split-view") for one over another root: with ours it
        proves that there are two histories.
        """
        with self._lock:
            one = self._sizes.get(size)
            if one is None:
                raise NotFound(f"size {size} is not waited for")
            ours = one.computed.checkpoint
        theirs, verified, note = one.open_note(note)
        if theirs.size != size:
            raise Malformed(f"a note of size {theirs.size}, where {size} was asked for")
        if theirs.root != ours.root:
            names = ", ".join(sorted({found.key.name for found in verified}))
            raise Misbehaviour(
                "split-view",
                f"another root at size {size} is signed by {names}",
                (self.note_of(size), note),
            )
        with self._wake:
            new = False
            for found in verified:
                new |= one.keep(found.key, found.timestamp or 0, found.signature)
            if new:
                self._changed = True
                self._wake.notify_all()
            return new

    def add_lines(self, size: int, lines: tuple[NoteSignature, ...]) -> PublishedHead:
        """Cosignatures from outside (see Engine.add_cosignatures)."""
        if self.heads is not None and size <= self.heads.newest.size:
            self.heads.of_size(size)
        with self._lock:
            one = self._sizes.get(size)
        if one is None:
            raise NotFound(f"size {size} is not waited for")
        if (note := one.note_of_known(lines)) is not None:
            self.add_note(size, note)
        with self._wake:
            if not self._assemble(size) or self.heads is None:
                raise TooFew(f"size {size} waits for others", 1)
            return self.heads.of_size(size)

    def newest_cosigned(self) -> CommittedHead:
        """The largest size that enough operators cosigned, for witnesses. Raises Unavailable."""
        with self._lock:
            for _, one in sorted(self._sizes.items(), reverse=True):
                if one.log_line() is not None and one.has_quorum():
                    return one.committed()
        raise Unavailable("no size has the operators' quorum yet", 1)

    def _tell_followers(self) -> None:
        try:
            head = self.newest_cosigned()
        except Unavailable:
            return
        if head.note != self._told:
            self._told = head.note
            for follower in self.followers:
                follower(head)

    def close(self) -> None:
        """Sign nothing more. May be called again."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._thread.join()

    # --- the publisher's thread ---

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._queue and not self._changed and not self._closed:
                    self._wake.wait(_TICK_S)
                if self._closed:
                    return
                queue = list(self._queue)
                self._queue.clear()
                self._changed = False
            # Whoever was away begins at the newest size.
            for computed in queue[-_MOST_BEHIND:]:
                self._open(computed)
            # What this operator cannot sign now, others may have signed: that is shown.
            troubles = [self._try(work) for work in (self._sign, self._show_newest)]
            self._tell_trouble(next(filter(None, troubles), None))

    def _try(self, work: Callable[[], None]) -> str | None:
        """Why some work could not be done; it is tried again in the next turn."""
        try:
            work()
        except FieldpostError as error:
            return str(error)
        except Exception as bug:  # noqa: BLE001 - heads of later sizes may still come out
            tell(_log, "head-not-refreshed", error=bug, trace=bug)
            return "a bug in the publisher; the node's log has it"
        return None

    def _tell_trouble(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self._trouble:
            tell(_log, "head-not-refreshed", error=trouble)
        with self._wake:
            self._trouble = trouble
            self._wake.notify_all()

    def _show_newest(self) -> None:
        self._publish()
        self._tell_followers()

    def _open(self, computed: Computed) -> None:
        """From here on a size is signed, and the lines of others are asked for."""
        record = read_board(computed.state.map)
        with self._wake:
            self._sizes.setdefault(computed.checkpoint.size, OpenSize(computed, record))
            for old in sorted(self._sizes)[:-MOST_OPEN]:
                del self._sizes[old]
            self._wake.notify_all()

    def _sign(self) -> None:
        """Cosign what is not cosigned yet, in order."""
        with self._lock:
            sizes = [one for _, one in sorted(self._sizes.items())]
            unsigned = [one for one in sizes if not one.own and not one.is_foreign]
        for one in unsigned:
            self._cosign(one)
        self._refresh()

    def _cosign(self, one: OpenSize) -> None:
        """Our lines over a size. Raises Unavailable (clock, disk), Misconfigured (another root)."""
        if one.computed.checkpoint.size < self._mark.size:
            return  # signed in an earlier life; the replica is catching up
        try:
            keys, operator = find_keys(self._keys_directory, one.record)
        except Misconfigured:
            one.is_foreign = True  # this node follows
            return
        checkpoint = one.computed.checkpoint
        now = max(self._clock.read(last=one.computed.state.last.time), one.own)
        if now >= self._signed_at - MOST_BEHIND_S:
            # After a clock was corrected: an earlier time would say that an older head is newer.
            now = max(now, self._signed_at)
        self._mark.record(checkpoint.size, checkpoint.root)
        signature = sign_checkpoint(checkpoint, name=checkpoint.origin, signer=keys.log)
        cosigner = keys.local_cosigner(operator)
        lines = cosigner.cosign(checkpoint, timestamp=now)
        with self._wake:
            one.lines[operator.log_key] = 0, signature
            for key, line in zip(_own_cosigners(keys, operator), lines, strict=True):
                one.lines[key] = now, line
            one.own, one.own_log, self._signed_at = now, operator.log_key, now
            self._wake.notify_all()
        self.waits.signed(checkpoint.size)

    def _refresh(self) -> None:
        """Cosign the newest published head again once it is an epoch old."""
        if self.heads is None:
            return
        head = self.heads.newest
        with self._lock:
            one = self._sizes.get(head.size)
            newer = any(size > head.size for size in self._sizes)
        if one is None or newer:
            return
        now = self._clock.read(last=one.computed.state.last.time)
        if now - max(head.timestamp, one.since) >= one.record.epoch_s:
            self._cosign(one)
            with self._wake:
                # Peers cosign at about the same time: an older line is not the one of this epoch.
                one.since = now - one.record.epoch_s // 2
                self._wake.notify_all()

    def _publish(self) -> None:
        with self._wake:
            for size in sorted(self._sizes, reverse=True):
                if self.heads is not None and size < self.heads.newest.size:
                    return
                if self._assemble(size):
                    return

    def _assemble(self, size: int) -> bool:
        """Show a size if its lines suffice, and say more than what is shown. The lock is held."""
        one = self._sizes[size]
        log_line = one.log_line()
        if log_line is None:
            return False
        try:
            head = assemble_head(
                one.computed.checkpoint,
                log_line,
                one.cosignatures(),
                record=one.record,
                state_leaf=one.computed.state.last.encode(),
                edge=one.computed.edge,
                map_=one.computed.state.map,
            )
        except Unavailable:
            return False
        before = self.heads
        if before is not None and before.newest.size == size and before.newest.note == head.note:
            return True
        heads = before.with_head(head) if before else PublishedHeads((head,))
        older = {other.size: other.note for other in heads.heads[:-1]}
        self._show(heads.newest.note, older)
        self.heads = heads
        self.presence.publish(size)
        self._wake.notify_all()
        self._published(head)
        return True

    def _take_over(self, head: PublishedHead) -> None:
        """Go on from what was published before this process began: its lines are ours to give."""
        record = read_board(head.map)
        last = decode_state_leaf(head.state_leaf)
        state = LedgerState(map=head.map, size=head.size, board=self._board, last=last)
        one = OpenSize(Computed(state, head.checkpoint, head.edge), record)
        _, verified = open_checkpoint(head.note, one.known(), origin=record.origin)
        for found in verified:
            one.keep(found.key, found.timestamp or 0, found.signature)
        one.own = head.timestamp
        self._sizes[head.size] = one


def _own_cosigners(keys: OperatorKeys, operator: Operator) -> list[VerifierKey]:
    held = [signer.public_key for signer in keys.cosigners()]
    return [key for public in held for key in operator.cosigner_keys if key.public_key == public]
