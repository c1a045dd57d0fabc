# SPDX-License-Identifier: Apache-2.0
"""A board in memory that asks a witness for cosignatures: heads as its operators sign them."""

from collections.abc import Sequence

from fieldpost.client.transport import HttpClient
from fieldpost.client.witness import add_board_links, add_checkpoint
from fieldpost.records.state_proof import StateProof
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.checkpoint import Checkpoint, sign_checkpoint
from fieldpost.tlog.cosignature import format_cosignature
from fieldpost.tlog.note import Note, NoteSignature, format_note
from fieldpost.tlog.proof import prove_consistency
from fieldpost.tlog.treehead import format_checkpoint


class WitnessedBoard:
    """The heads of `world`, signed by its first operator's log key, cosigned by some of them."""

    def __init__(self, world: BoardWorld) -> None:
        self.world = world
        self.links = [world.genesis]

    @property
    def id(self) -> str:
        return self.world.state.board

    @property
    def size(self) -> int:
        return len(self.world.entries)

    def note(self, operators: int | None = None, *, checkpoint: Checkpoint | None = None) -> bytes:
        """A signed head with the cosignatures of the first `operators` (None: all of them)."""
        head = checkpoint or self.world.checkpoint()
        first = self.world.operators[0]
        lines = [sign_checkpoint(head, name=head.origin, signer=first.log)]
        made = self.world.cosignatures(operators=operators, witnesses=0, checkpoint=head)
        names = [operator.cosigner_name for operator in self.world.operators[:operators]]
        lines += [
            format_cosignature(cosignature, name=name)
            for cosignature, name in zip(made, names, strict=True)
        ]
        return format_note(Note(format_checkpoint(head), tuple(lines)))

    def state(self) -> bytes:
        return StateProof(self.world.entries[-1], self.world.edge()).encode()

    def send_links(self, http: HttpClient, links: Sequence[bytes] | None = None) -> None:
        add_board_links(
            http, origin=self.world.origin, entries=self.links if links is None else links
        )

    def ask(
        self,
        http: HttpClient,
        old: int,
        *,
        operators: int | None = None,
        note: bytes | None = None,
        state: bytes | None = None,
    ) -> tuple[NoteSignature, ...]:
        """Ask for the newest head; what is not given is true."""
        size = self.size
        proof = prove_consistency(self.world.tree(), old_size=old, size=size) if old else ()
        return add_checkpoint(
            http,
            old_size=old,
            proof=proof if old != size else (),
            note=self.note(operators) if note is None else note,
            state=self.state() if state is None else state,
        )
