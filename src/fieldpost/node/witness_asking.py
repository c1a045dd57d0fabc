# SPDX-License-Identifier: Apache-2.0
"""Asking one witness about one size: proof, links and second tries as its answers demand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fieldpost.client.transport import HttpClient
from fieldpost.client.witness import NeedsLinks, add_board_links, add_checkpoint
from fieldpost.engines.base import CommittedHead, Cosignable
from fieldpost.errors import Malformed, NotFound, Unavailable, Untrusted
from fieldpost.records.state_proof import StateProof
from fieldpost.store.log_files import read_file
from fieldpost.tlog.checkpoint import Checkpoint
from fieldpost.tlog.cosignature import parse_cosignature, verify_cosignature
from fieldpost.tlog.hashing import Hash
from fieldpost.tlog.note import NoteSignature, VerifierKey
from fieldpost.tlog.proof import prove_consistency
from fieldpost.tlog.tiles import Tile, TileHashReader, tile_path
from fieldpost.tlog.witness import OtherSize

_MOST_TURNS: Final = 6
_MOST_LINKS_BYTES: Final = 1024 * 1024 - 65_536


class Overtaken(Unavailable):
    """While this size was asked about, the log grew past it: ask about the newest."""


class Ahead(Unavailable):
    """The witness cosigned more than this node has: another operator's node was quicker, or this
    node lost its end."""


class WitnessAsking:
    """One witness as a node asks it. `keys` are those under which its lines count.

    For one thread.
    """

    def __init__(
        self, http: HttpClient, keys: Sequence[VerifierKey], *, engine: Cosignable, log: Path
    ) -> None:
        self._http = http
        self._keys = {(key.name, key.key_id): key for key in keys}
        self._engine = engine
        self._log = log
        # What it cosigned last, as far as we know; it says so if that is wrong.
        self._known = 0

    def ask(self, head: CommittedHead) -> tuple[NoteSignature, ...]:
        """Its cosignatures over a size, verified under its keys; at least one.

        Raises Overtaken, Ahead, Unavailable; Untrusted and its kin where the witness refuses, or
        where what comes back is not by its key; NotFound if it does not witness this log.
        """
        for _ in range(_MOST_TURNS):
            try:
                lines = self._submit(head)
            except OtherSize as error:
                if error.size > head.checkpoint.size:
                    raise Ahead(
                        f"it cosigned size {error.size}, and this log has "
                        f"{head.checkpoint.size} entries"
                    ) from error
                self._known = error.size
            except NeedsLinks as error:
                self._send_links(head, error.epoch)
            else:
                self._known = head.checkpoint.size
                return self._verify(head.checkpoint, lines)
        raise Unavailable("it asks for something else each time")

    def _submit(self, head: CommittedHead) -> tuple[NoteSignature, ...]:
        return add_checkpoint(
            self._http,
            old_size=self._known,
            proof=self._prove(head.checkpoint.size),
            note=head.note,
            state=StateProof(head.state_leaf, head.edge).encode(),
        )

    def _prove(self, size: int) -> tuple[Hash, ...]:
        if self._known in (0, size):
            return ()
        reader = TileHashReader(self._read_tile, size)
        try:
            return prove_consistency(reader, old_size=self._known, size=size)
        except (NotFound, Malformed) as error:
            # Partial tiles go once a larger size is published.
            raise Overtaken(f"size {size} was passed over") from error

    def _read_tile(self, tile: Tile) -> bytes:
        return read_file(self._log / tile_path(tile))

    def _send_links(self, head: CommittedHead, since: int) -> None:
        links = self._engine.committed_links(since, most_bytes=_MOST_LINKS_BYTES)
        if not links:
            raise Untrusted("missing-links", f"it follows another chain, up to epoch {since}")
        add_board_links(self._http, origin=head.checkpoint.origin, entries=links)

    def _verify(
        self, checkpoint: Checkpoint, lines: Sequence[NoteSignature]
    ) -> tuple[NoteSignature, ...]:
        found = []
        for line in lines:
            key = self._keys.get((line.name, line.key_id))
            if key is None:
                continue
            try:
                verify_cosignature(key, checkpoint, parse_cosignature(line))
            except Malformed as error:
                raise Untrusted("bad-signature", f"{key.name}: {error}") from error
            found.append(line)
        if not found:
            raise Untrusted("unknown-key", "none of its lines is by the key that the record names")
        return tuple(found)
