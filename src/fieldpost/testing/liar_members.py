# SPDX-License-Identifier: Apache-2.0
"""Members that lie together: the keys of several operators, and what these sign.

members = Members.load([Path("/srv/op3")], record)
members.note(head, members.cosign(head, at=now))
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.operator_keys import OperatorKeys, find_keys
from fieldpost.errors import Malformed
from fieldpost.records.board import BoardRecord, Operator
from fieldpost.tlog.checkpoint import sign_checkpoint
from fieldpost.tlog.cosignature import Cosignature, cosign, format_cosignature, parse_cosignature
from fieldpost.tlog.note import Note, format_note, parse_note
from fieldpost.tlog.treehead import Checkpoint, format_checkpoint

_SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Members:
    """The operators of `record` whose keys are at hand."""

    record: BoardRecord
    held: tuple[tuple[OperatorKeys, Operator], ...]

    @classmethod
    def load(cls, folders: Iterable[Path], record: BoardRecord) -> "Members":
        """The keys below these data folders. Raises Misconfigured for those of no operator."""
        return cls(record, tuple(find_keys(keys_directory(one), record) for one in folders))

    def cosign(self, head: Checkpoint, *, at: int) -> tuple[Cosignature, ...]:
        """A cosignature of each, at `at` (Unix seconds)."""
        return tuple(
            cosign(head, name=operator.cosigner_keys[0].name, signer=keys.cosigner, timestamp=at)
            for keys, operator in self.held
        )

    def invent(self, *, at: int) -> tuple[Cosignature, ...]:
        """Cosignatures of all others, which nobody made."""
        own = {operator.name for _, operator in self.held}
        return tuple(
            Cosignature(operator.cosigner_keys[0].key_id, at, bytes([1]) * _SIGNATURE_BYTES)
            for operator in self.record.operators
            if operator.name not in own
        )

    def note(self, head: Checkpoint, cosignatures: Sequence[Cosignature]) -> bytes:
        """The head with the log's signature of the first member, and these cosignatures."""
        names = {
            key.key_id: key.name
            for operator in self.record.operators
            for key in operator.cosigner_keys
        }
        keys = self.held[0][0]
        lines = [format_cosignature(one, name=names[one.key_id]) for one in cosignatures]
        own = sign_checkpoint(head, name=head.origin, signer=keys.log)
        return format_note(Note(format_checkpoint(head), (own, *lines)))


def cosignatures_of(note: bytes) -> tuple[Cosignature, ...]:
    """The Ed25519 cosignatures under a checkpoint."""
    found: list[Cosignature] = []
    for line in parse_note(note).signatures:
        try:
            one = parse_cosignature(line)
        except Malformed:
            continue  # a log's signature
        if len(one.signature) == _SIGNATURE_BYTES:
            found.append(one)
    return tuple(found)
