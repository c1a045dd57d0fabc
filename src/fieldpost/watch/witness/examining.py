# SPDX-License-Identifier: Apache-2.0
"""What can be said of a request before the witness's state is looked at: is it signed?

Signatures are most of a witness's work and none of its state, so several threads do this at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fieldpost.errors import NotFound
from fieldpost.keys import Accepts
from fieldpost.records.state_proof import decode_state_proof
from fieldpost.tlog.checkpoint import Checkpoint, keep_valid, open_checkpoint
from fieldpost.tlog.hashing import Hash
from fieldpost.tlog.note import Note, NoteSignature, VerifierKey, format_note, parse_note
from fieldpost.tlog.treehead import format_checkpoint
from fieldpost.tlog.witness import parse_add_checkpoint
from fieldpost.watch.witness.boards import FollowedBoard
from fieldpost.watch.witness.judging import Admitted, BoardPlace
from fieldpost.watch.witness.logs import KnownLog, own_signatures

# A note carries at most 64 signatures: theirs, and room for ours.
_MOST_KEPT = 60


@dataclass(frozen=True, slots=True)
class Examined:
    """A request whose signatures are good. `lines` are those of known keys.

    `own_time` is when this witness itself cosigned the checkpoint before, None if it did not.
    """

    admitted: Admitted
    old_size: int
    proof: tuple[Hash, ...]
    lines: tuple[NoteSignature, ...]
    own_time: int | None

    def note_with(self, own: Sequence[NoteSignature]) -> bytes:
        """The checkpoint with the lines that count and our own: what monitors are shown."""
        text = format_checkpoint(self.admitted.checkpoint)
        return format_note(Note(text, (*self.lines[:_MOST_KEPT], *own)))


@dataclass(frozen=True, slots=True)
class Examiner:
    """The logs and boards that a witness knows, by origin, and the witness's own keys.

    `quick_yes` is asked first about signatures (engines.quick_yes).
    """

    logs: Mapping[str, KnownLog]
    boards: Mapping[str, FollowedBoard]
    vkeys: tuple[VerifierKey, ...]
    quick_yes: Accepts | None = None

    def examine(self, body: bytes, state: bytes | None) -> Examined:
        """Verify everything that needs no state.

        `state` is an encoded state proof, for a board. Raises Malformed, NotFound for an origin
        that is not witnessed here, Untrusted, MissingLinks.
        """
        request = parse_add_checkpoint(body)
        note = parse_note(request.note)
        origin = note.text.partition("\n")[0]
        checkpoint, lines, place = self._verify(origin, request.note, state)
        return Examined(
            Admitted(checkpoint=checkpoint, place=place),
            request.old_size,
            request.proof,
            lines,
            self._own_time(note, request.note, origin),
        )

    def open_signed(self, body: bytes) -> tuple[Checkpoint, bytes]:
        """The checkpoint of a request that a key of its log signed, and the note as evidence.

        Whatever it lacks, and without lines that do not hold: one invented line beside a true one
        would make nobody believe it. Raises as `examine`.
        """
        request = parse_add_checkpoint(body)
        note = parse_note(request.note)
        origin = note.text.partition("\n")[0]
        board = self.boards.get(origin)
        log = self.logs.get(origin) if board is None else board.newest_log()
        if log is None:
            raise NotFound(f"{origin} is not witnessed here")
        checkpoint, _ = open_checkpoint(request.note, log.keys, origin=origin, extensions=True)
        members = [witness.key for witness in log.quorum.witnesses] if log.quorum else []
        return checkpoint, keep_valid(request.note, (*log.keys, *members), extensions=True)

    def _verify(
        self, origin: str, note: bytes, state: bytes | None
    ) -> tuple[Checkpoint, tuple[NoteSignature, ...], BoardPlace | None]:
        board = self.boards.get(origin)
        if board is not None:
            proof = None if state is None else decode_state_proof(state)
            return board.verify(note, proof, self.quick_yes)
        log = self.logs.get(origin)
        if log is None:
            raise NotFound(f"{origin} is not witnessed here")
        return (*log.verify(note, self.quick_yes), None)

    def _own_time(self, note: Note, note_bytes: bytes, origin: str) -> int | None:
        if not own_signatures(note, self.vkeys):
            return None
        _, verified = open_checkpoint(note_bytes, self.vkeys, origin=origin, extensions=True)
        return max(signature.timestamp or 0 for signature in verified)
