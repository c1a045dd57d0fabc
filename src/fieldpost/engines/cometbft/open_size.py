# SPDX-License-Identifier: Apache-2.0
"""A size that the operators agreed on, and who signed and cosigned it so far."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from fieldpost.engines.base import CommittedHead
from fieldpost.engines.cometbft.replica import Computed
from fieldpost.errors import Untrusted
from fieldpost.records.board import BoardRecord
from fieldpost.tlog.checkpoint import (
    Checkpoint,
    VerifiedSignature,
    format_checkpoint,
    index_keys,
    keep_valid,
    open_checkpoint,
)
from fieldpost.tlog.note import ED25519, Note, NoteSignature, VerifierKey, format_note


@dataclass(slots=True)
class OpenSize:
    """A size that was agreed on. `lines`: the newest of each key, verified; `own`: when by us.

    `since`: older lines of others are asked for again. `is_foreign`: no key here is of its record.
    """

    computed: Computed
    record: BoardRecord
    lines: dict[VerifierKey, tuple[int, NoteSignature]] = field(default_factory=dict)
    own: int = 0
    since: int = 0
    is_foreign: bool = False
    own_log: VerifierKey | None = None

    def known(self) -> list[VerifierKey]:
        """Whose lines count over it: operators' logs and cosigners, and witnesses."""
        operators = self.record.operators
        keys = [key for one in operators for key in (one.log_key, *one.cosigner_keys)]
        return keys + [witness.key for witness in self.record.witnesses]

    def open_note(self, note: bytes) -> tuple[Checkpoint, tuple[VerifiedSignature, ...], bytes]:
        """What somebody's note states, the lines of known keys, and the note.

        Nothing of it counts where a known key did not make its line, except that of another root
        the other lines convict their authors: those alone are then given. Raises Malformed and
        Untrusted as `open_checkpoint`.
        """
        ours, known = self.computed.checkpoint, self.known()
        try:
            return *open_checkpoint(note, known, origin=ours.origin), note
        except Untrusted:
            held = keep_valid(note, known)
            theirs, verified = open_checkpoint(held, known, origin=ours.origin)
            if theirs.size == ours.size and theirs.root != ours.root:
                return theirs, verified, held
            raise

    def note_of_known(self, lines: Iterable[NoteSignature]) -> bytes | None:
        """A note of those that are by known keys, None without any: others say nothing."""
        known = index_keys(self.known())
        named = tuple(line for line in lines if (line.name, line.key_id) in known)
        text = format_checkpoint(self.computed.checkpoint)
        return format_note(Note(text, named)) if named else None

    def log_line(self) -> NoteSignature | None:
        """An operator's signature as the log's, ours if there is one."""
        found = [key for key in self.lines if key.type == ED25519]
        key = self.own_log if self.own_log in found else next(iter(found), None)
        return None if key is None else self.lines[key][1]

    def cosignatures(self) -> list[NoteSignature]:
        """Everybody's lines, those of logs apart."""
        return [line for key, (_, line) in self.lines.items() if key.type != ED25519]

    def has_quorum(self) -> bool:
        """Whether enough operators cosigned it; witnesses apart."""
        voted = [
            any(key in self.lines for key in operator.cosigner_keys)
            for operator in self.record.operators
        ]
        return sum(voted) >= self.record.quorum

    def note(self) -> bytes:
        """Everything that is signed over it, a log's signature first."""
        first = self.log_line()
        lines = ([] if first is None else [first]) + self.cosignatures()
        return format_note(Note(format_checkpoint(self.computed.checkpoint), tuple(lines)))

    def committed(self) -> CommittedHead:
        """As witnesses are shown it."""
        return CommittedHead(
            checkpoint=self.computed.checkpoint,
            note=self.note(),
            state_leaf=self.computed.state.last.encode(),
            edge=self.computed.edge,
            record=self.record,
        )

    def keep(self, key: VerifierKey, timestamp: int, line: NoteSignature) -> bool:
        """Take a verified line, if it is newer than the one of that key; whether it was."""
        known = self.lines.get(key)
        if known is not None and known[0] >= timestamp:
            return False
        self.lines[key] = timestamp, line
        return True
