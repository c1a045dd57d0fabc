# SPDX-License-Identifier: Apache-2.0
"""A log that remembers: every checkpoint must extend the last one that was seen.

It needs nothing of a board but its static files (C2SP tlog-tiles), and believes none of them:
checkpoints by the keys given, tiles and entries by the checkpoint's root. The caller keeps
`note`, the last accepted checkpoint, between runs.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from fieldpost.client.transport import MIB, HttpClient
from fieldpost.errors import Malformed, Misbehaviour, Unavailable, Untrusted
from fieldpost.tlog.checkpoint import Checkpoint, open_checkpoint
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import MAX_NOTE_BYTES, VerifierKey
from fieldpost.tlog.proof import (
    prove_consistency,
    prove_inclusion,
    verify_consistency,
    verify_inclusion,
)
from fieldpost.tlog.tiles import (
    FULL_WIDTH,
    Tile,
    TileHashReader,
    decode_entry_bundle,
    entries_path,
    tile_at,
    tile_path,
)
from fieldpost.tlog.tree import CompactRange

_BUNDLE_BYTES: Final = 17 * MIB
_TILE_BYTES: Final = FULL_WIDTH * 32


class Log:
    """One log, read over HTTP from `prefix` on. `keys`: at least one of them must have signed."""

    def __init__(
        self,
        http: HttpClient,
        *,
        origin: str,
        keys: Iterable[VerifierKey],
        note: bytes | None = None,
        prefix: str = "/log",
    ) -> None:
        self._http = http
        self._origin = origin
        self._keys = tuple(keys)
        self._prefix = prefix
        self.note = note
        self.checkpoint = None if note is None else self._open(note)

    def _open(self, note: bytes) -> Checkpoint:
        return open_checkpoint(note, self._keys, origin=self._origin)[0]

    def advance(self) -> Checkpoint:
        """Fetch the checkpoint, check that it extends the remembered one, and remember it.

        Raises Untrusted("not-newer") for a smaller tree, which a stale mirror may show, and
        Misbehaviour with both notes where two signed checkpoints exclude each other.
        """
        note = self._http.fetch(f"{self._prefix}/checkpoint", most_bytes=MAX_NOTE_BYTES)
        try:
            fresh = self._open(note)
        except Malformed as error:
            raise Unavailable(f"what came back is no checkpoint: {error}") from error
        return self._remember(note, fresh)

    def extend_to(self, note: bytes) -> Checkpoint:
        """Remember a checkpoint that came another way. Raises Malformed, and as `advance`."""
        return self._remember(note, self._open(note))

    def _remember(self, note: bytes, fresh: Checkpoint) -> Checkpoint:
        if self.checkpoint is not None and self.note is not None:
            self._check_extends(self.checkpoint, self.note, fresh, note)
        self.note, self.checkpoint = note, fresh
        return fresh

    def _check_extends(
        self, old: Checkpoint, old_note: bytes, new: Checkpoint, note: bytes
    ) -> None:
        if new.size < old.size:
            raise Untrusted("not-newer", f"size {new.size}, where {old.size} was seen before")
        if new.size == old.size:
            if new.root != old.root:
                raise Misbehaviour("split-view", f"two roots of size {new.size}", (old_note, note))
            return
        if old.size == 0:
            return
        path = prove_consistency(self._reader(new), old_size=old.size, size=new.size)
        try:
            verify_consistency(
                old_size=old.size, old_root=old.root, size=new.size, root=new.root, path=path
            )
        except Untrusted as error:
            # A mirror may have sent wrong tiles, so this is proof of nothing by itself.
            raise Untrusted("inconsistent", f"{error.detail}; ask another mirror") from error

    def read_entry(self, index: int) -> bytes:
        """One entry, proven to be in the remembered tree. Raises Untrusted("bad-proof")."""
        head = self._head()
        bundle = self._bundle(tile_at(level=0, index=index // FULL_WIDTH, size=head.size))
        entry = bundle[index % FULL_WIDTH]
        path = prove_inclusion(self._reader(head), index=index, size=head.size)
        verify_inclusion(
            leaf_hash=leaf_hash(entry), index=index, size=head.size, root=head.root, path=path
        )
        return entry

    def read_all(self) -> Iterator[bytes]:
        """Every entry of the remembered tree, in order; only the last step says that all is true.

        Raises Untrusted("bad-proof") after the last entry if they do not make the root.
        """
        head = self._head()
        tree = CompactRange.empty()
        for number in range(-(-head.size // FULL_WIDTH)):
            entries = self._bundle(tile_at(level=0, index=number, size=head.size))
            tree = tree.extend(leaf_hash(entry) for entry in entries)
            yield from entries
        if head.size and tree.root() != head.root:
            raise Untrusted("bad-proof", "the entries do not make the checkpoint's root")

    def _head(self) -> Checkpoint:
        return self.advance() if self.checkpoint is None else self.checkpoint

    def _bundle(self, tile: Tile) -> list[bytes]:
        data = self._http.fetch(f"{self._prefix}/{entries_path(tile)}", most_bytes=_BUNDLE_BYTES)
        try:
            entries = decode_entry_bundle(data)
        except Malformed as error:
            raise Unavailable(f"what came back is no entry bundle: {error}") from error
        if len(entries) != tile.width:
            raise Unavailable(f"{entries_path(tile)} has {len(entries)} entries")
        return entries

    def _reader(self, head: Checkpoint) -> TileHashReader:
        return TileHashReader(self._read_tile, head.size)

    def _read_tile(self, tile: Tile) -> bytes:
        return self._http.fetch(f"{self._prefix}/{tile_path(tile)}", most_bytes=_TILE_BYTES)
