# SPDX-License-Identifier: Apache-2.0
"""Sizes that are durable and log-signed, and not cosigned by enough yet.

A board whose record demands witnesses publishes a size only once they have cosigned it. They answer
after a while and out of order, so several sizes may wait at once: each with the state that it
stands for, since the one that is cosigned first is published first, and those before it with it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fieldpost.engines.base import CommittedHead, PublishedHead
from fieldpost.engines.published import assemble_head, latest_lines
from fieldpost.records.board import BoardRecord
from fieldpost.statemap import StateMap
from fieldpost.tlog.checkpoint import Checkpoint, format_checkpoint
from fieldpost.tlog.note import Note, NoteSignature, format_note

# As many sizes may wait for cosignatures; then no batch is committed until one is published.
MOST_SIGNED: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """A committed size with the lines so far. `record` is the board record of its own state."""

    checkpoint: Checkpoint
    signature: NoteSignature
    lines: tuple[NoteSignature, ...]
    record: BoardRecord
    state_leaf: bytes
    edge: tuple[bytes, ...]
    map: StateMap

    def with_lines(self, lines: Iterable[NoteSignature]) -> "SignedHead":
        """With more lines; of one key the latest, and none of a key that the record does not name.

        Raises Untrusted("bad-signature").
        """
        found = latest_lines(self.checkpoint, [*self.lines, *lines], self.record)
        return replace(self, lines=tuple(found.values()))

    def publish(self) -> PublishedHead:
        """The published head. Raises TooFew while the record's demands are not met, Untrusted."""
        return assemble_head(
            self.checkpoint,
            self.signature,
            self.lines,
            record=self.record,
            state_leaf=self.state_leaf,
            edge=self.edge,
            map_=self.map,
        )

    def committed(self) -> CommittedHead:
        """As cosigners are shown it."""
        note = Note(format_checkpoint(self.checkpoint), (self.signature, *self.lines))
        return CommittedHead(
            checkpoint=self.checkpoint,
            note=format_note(note),
            state_leaf=self.state_leaf,
            edge=self.edge,
            record=self.record,
        )


@dataclass(frozen=True, slots=True)
class SignedHeads:
    """The sizes that wait, smallest first. Immutable, for any thread."""

    heads: tuple[SignedHead, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether no more sizes should be committed before one of these is published."""
        return len(self.heads) >= MOST_SIGNED

    def of_size(self, size: int) -> SignedHead | None:
        """The head of one size, if it waits."""
        return next((head for head in self.heads if head.checkpoint.size == size), None)

    def with_head(self, head: SignedHead) -> "SignedHeads":
        """These, with `head` in the place of its size; of too many the smallest is dropped."""
        others = [one for one in self.heads if one.checkpoint.size != head.checkpoint.size]
        heads: Sequence[SignedHead] = sorted([*others, head], key=lambda one: one.checkpoint.size)
        return SignedHeads(tuple(heads[-MOST_SIGNED:]))

    def after(self, size: int) -> "SignedHeads":
        """Those that are larger than a size which was published."""
        return SignedHeads(tuple(head for head in self.heads if head.checkpoint.size > size))
