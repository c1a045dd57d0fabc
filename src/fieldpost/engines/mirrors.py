# SPDX-License-Identifier: Apache-2.0
"""A copy of this node's own log, held by somebody else: believed where this node's key signed it.

    head = open_mirror(mirror, key)                  its checkpoint, signed by our own log key
    tail = verify_tail(mirror, head, before=range)   our tree extended by its tiles is its root
    for entries in tail.bundles(): …                 each bundle hashes to what was verified

Nobody else can make a checkpoint that passes, so a forged mirror is told from a late one, and a
mirror that shows another history than the disk does is evidence about this very node.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from fieldpost.errors import FieldpostError, Malformed, NotFound, Unavailable, Untrusted
from fieldpost.keys import PublicKey
from fieldpost.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from fieldpost.tlog.hashing import Hash, leaf_hash
from fieldpost.tlog.note import ED25519, MAX_NOTE_BYTES, VerifierKey, parse_note
from fieldpost.tlog.tiles import (
    FULL_WIDTH,
    Tile,
    TileHashReader,
    decode_entry_bundle,
    entries_path,
    tile_at,
    tile_path,
)
from fieldpost.tlog.tree import CompactRange, MemoryTree

# A start that has to fetch more should begin with a restored backup.
MOST_TAIL_ENTRIES: Final = 2**24
_TILE_BYTES: Final = FULL_WIDTH * 32
BUNDLE_BYTES: Final = FULL_WIDTH * (65_535 + 2)
_BUNDLE_LEVEL: Final = 8

# read(path below the log's folder, most bytes) raises NotFound, Unavailable
Read = Callable[[str, int], bytes]


@dataclass(frozen=True, slots=True)
class Mirror:
    """Where a copy of the log lies, as the operator wrote it, and how its files are read."""

    name: str
    read: Read


@dataclass(frozen=True, slots=True)
class MirrorHead:
    """The newest checkpoint of a mirror, signed by this node's log key. Size 0: nothing yet."""

    mirror: Mirror
    note: bytes
    checkpoint: Checkpoint


def open_mirror(
    mirror: Mirror, log_keys: Iterable[PublicKey], *, origin: str | None
) -> MirrorHead | None:
    """What the mirror publishes; None where it is empty. `log_keys` are those of this node.

    `origin` None takes the one that the checkpoint states: our key signs for one board only.
    Raises Untrusted for a checkpoint that this node did not sign, Malformed, Unavailable.
    """
    try:
        note = mirror.read("checkpoint", MAX_NOTE_BYTES)
    except NotFound:
        return None
    claimed = parse_checkpoint(parse_note(note).text)
    keys = [VerifierKey(origin or claimed.origin, ED25519, key.raw) for key in log_keys]
    checkpoint, _ = open_checkpoint(note, keys, origin=origin)
    return MirrorHead(mirror, note, checkpoint)


@dataclass(frozen=True, slots=True)
class Tail:
    """What a mirror has beyond a whole number of bundles of ours, every bundle's root verified."""

    head: MirrorHead
    first: int
    roots: tuple[Hash, ...]
    last: tuple[bytes, ...]

    def bundles(self) -> Iterator[list[bytes]]:
        """The entries from bundle `first` on. Raises as `verify_tail`."""
        size = self.head.checkpoint.size
        for number, root in enumerate(self.roots, self.first):
            entries = read_bundle(self.head.mirror, tile_at(level=0, index=number, size=size))
            if MemoryTree(map(leaf_hash, entries)).root() != root:
                raise Untrusted(
                    "bad-proof",
                    f"{self.head.mirror.name}: {entries_path(Tile(0, number))} does not hash to "
                    "its tiles",
                )
            yield entries
        if self.last:
            yield list(self.last)

    def range_at(self, size: int, before: CompactRange) -> CompactRange:
        """The mirror's tree at `size`, which is not before `first` bundles; `before` is there."""
        whole, rest = divmod(size, FULL_WIDTH)
        range_ = _extend(before, self.roots[: whole - self.first])
        if not rest:
            return range_
        if whole - self.first < len(self.roots):
            full = read_bundle(self.head.mirror, Tile(0, whole))
            return range_.extend(map(leaf_hash, full[:rest]))
        return range_.extend(map(leaf_hash, self.last[:rest]))


class MissingFile(Exception):
    """A file of a mirror that is not as it should be, met while rules are judged: not their
    refusal. `error` says what it is."""

    def __init__(self, error: FieldpostError) -> None:
        super().__init__(str(error))
        self.error = error


def entries_of(tail: Tail, size: int) -> Iterator[bytes]:
    """The tail's entries behind the first `size` of the log. Raises MissingFile alone."""
    skipped = size % FULL_WIDTH
    try:
        for entries in tail.bundles():
            yield from entries[skipped:]
            skipped = 0
    except (Untrusted, Malformed, NotFound, Unavailable) as error:
        raise MissingFile(error) from error


def verify_tail(head: MirrorHead, before: CompactRange) -> Tail:
    """The mirror's tree from `before` (a whole number of bundles) on, which leads to its root.

    Raises Untrusted("bad-proof") if it does not: the mirror is damaged, or its history is another
    one; Malformed, NotFound and Unavailable for files that are damaged, missing or out of reach.
    """
    size, first = head.checkpoint.size, before.size // FULL_WIDTH
    if size - before.size > MOST_TAIL_ENTRIES:
        raise Untrusted(
            "bad-proof",
            f"{head.mirror.name} is {size - before.size} entries ahead, more than "
            f"{MOST_TAIL_ENTRIES}: restore a newer backup first",
        )
    whole = size // FULL_WIDTH
    reader = TileHashReader(lambda tile: head.mirror.read(tile_path(tile), _TILE_BYTES), size)
    wanted = [(_BUNDLE_LEVEL, index) for index in range(first, whole)]
    roots = tuple(reader.read_hashes(wanted)) if wanted else ()
    last: tuple[bytes, ...] = ()
    if size % FULL_WIDTH:
        last = tuple(read_bundle(head.mirror, tile_at(level=0, index=whole, size=size)))
    if _extend(before, roots).extend(map(leaf_hash, last)).root() != head.checkpoint.root:
        raise Untrusted(
            "bad-proof", f"the files of {head.mirror.name} do not lead to its checkpoint's root"
        )
    return Tail(head, first, roots, last)


def read_bundle(mirror: Mirror, tile: Tile) -> list[bytes]:
    """A bundle of a mirror; a partial one that was dropped is found in the full one."""
    try:
        entries = decode_entry_bundle(mirror.read(entries_path(tile), BUNDLE_BYTES))
    except NotFound:
        if tile.width == FULL_WIDTH:
            raise
        return read_bundle(mirror, tile.full())[: tile.width]
    if len(entries) != tile.width:
        raise Malformed(f"{mirror.name}: {entries_path(tile)} holds {len(entries)} entries")
    return entries


def _extend(before: CompactRange, bundle_roots: tuple[Hash, ...]) -> CompactRange:
    """The range after whole bundles: the same tree, seen from eight levels up."""
    above = CompactRange(before.size // FULL_WIDTH, before.hashes).extend(bundle_roots)
    return CompactRange(above.size * FULL_WIDTH, above.hashes)
