# SPDX-License-Identifier: Apache-2.0
"""The port through which a committed size becomes a published one.

A board with one operator asks its own keys (`LocalCosigner`); one with several asks its peers and
witnesses. What comes back goes into the checkpoint as it is.
"""

from collections.abc import Sequence
from typing import Protocol

from fieldpost.keys import Signer
from fieldpost.tlog.checkpoint import Checkpoint
from fieldpost.tlog.cosignature import cosign, format_cosignature
from fieldpost.tlog.note import NoteSignature


class Cosigner(Protocol):
    """Whoever can bring together the cosignatures that the board's record demands."""

    def cosign(self, checkpoint: Checkpoint, *, timestamp: int) -> tuple[NoteSignature, ...]:
        """Cosignatures over a durable checkpoint, enough to publish it; at least one.

        `timestamp`: Unix seconds, for the keys that are here. Raises Unavailable while there are
        too few.
        """
        ...


class LocalCosigner:
    """The keys of this node: Ed25519 (0x04), and ML-DSA-44 (0x06) where it has one."""

    def __init__(self, name: str, signers: Sequence[Signer]) -> None:
        self._name = name
        self._signers = tuple(signers)

    def cosign(self, checkpoint: Checkpoint, *, timestamp: int) -> tuple[NoteSignature, ...]:
        """See Cosigner."""
        return tuple(
            format_cosignature(
                cosign(checkpoint, name=self._name, signer=signer, timestamp=timestamp),
                name=self._name,
            )
            for signer in self._signers
        )
