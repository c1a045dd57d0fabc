# SPDX-License-Identifier: Apache-2.0
"""Heads of several sources against the history that is known: does each fit?

A head that somebody of the board signed, and that is not of the known history, is evidence: at a
smaller size our own tree shows it, at a larger one the source's tiles do, if they lead to its root.
If they do not, nothing is proven, and that is told as well. What nobody of the board signed is
noise that anybody can make.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from fieldpost.checkin.evidence import (
    SplitView,
    keep_signed,
    make_evidence,
    note_of_head,
    open_head,
)
from fieldpost.errors import FieldpostError, Malformed, NotFound, Untrusted
from fieldpost.records.board import BoardRecord
from fieldpost.tlog.cosignature import Cosignature
from fieldpost.tlog.hashing import Hash
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.proof import prove_prefix, roots_from_prefix
from fieldpost.tlog.tiles import Tile, TileHashReader
from fieldpost.tlog.tree import HashReader
from fieldpost.tlog.treehead import Checkpoint, parse_checkpoint


class Fit(Enum):
    """What a head is to the known history."""

    KNOWN = "known"
    """Of it, at a size that is known."""
    AHEAD = "ahead"
    """Of it, and further."""
    NOISE = "noise"
    """Signed by nobody of this board, or no checkpoint at all."""
    UNPROVEN = "unproven"
    """Signed, and the source's files do not show what it is."""
    OTHER = "other"
    """Signed, and of another history: `evidence` is there."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """About one head. `authors`: who signed it, as `operator name`, `witness name`."""

    fit: Fit
    head: Checkpoint | None = None
    authors: tuple[str, ...] = ()
    evidence: SplitView | None = None
    detail: str = ""


class Known(Protocol):
    """The log of a verified head: a copy on this disk, or tiles of which each use is proven."""

    def root_at(self, size: int) -> Hash:
        """The root at a size up to the history's, 1 at least."""
        ...

    def hash_reader(self) -> HashReader:
        """Every hash of the published tree."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known: the published head's note, the board's records, the links that prove them."""

    board: str
    origin: str
    size: int
    note: bytes
    records: Sequence[BoardRecord]
    links: Sequence[bytes]
    log: Known


def compare(note: bytes, history: History, read_tile: Callable[[Tile], bytes]) -> Verdict:
    """Judge a note of a source, whose tiles `read_tile` gives (asked for larger heads alone)."""
    try:
        head, signers = open_head(note, history.records, origin=history.origin)
    except (Malformed, Untrusted) as error:
        noise = Verdict(Fit.NOISE, _claimed(note), detail=str(error))
        return _despite_invented(note, history, read_tile) or noise
    authors = tuple(sorted({f"{signer.role} {signer.name}" for signer in signers}))
    if head.size == 0:
        return Verdict(Fit.KNOWN, head, authors)
    if head.size <= history.size:
        if history.log.root_at(head.size) == head.root:
            return Verdict(Fit.KNOWN, head, authors)
        reader = history.log.hash_reader()
        path = (
            prove_prefix(reader, old_size=head.size, size=history.size)
            if head.size < history.size
            else ()
        )
        return _other(note, head, authors, history, path)
    return _larger(note, head, authors, history, read_tile)


def _despite_invented(
    note: bytes, history: History, read_tile: Callable[[Tile], bytes]
) -> Verdict | None:
    """What a note proves whose lines do not all hold: a fork by whoever made those that do."""
    try:
        held = keep_signed(note, history.records)
    except (Malformed, Untrusted):
        return None
    if held == note:
        return None
    verdict = compare(held, history, read_tile)
    return verdict if verdict.fit is Fit.OTHER else None


def compare_reported(
    head: Checkpoint, cosignatures: Sequence[Cosignature], history: History
) -> Verdict:
    """Judge a head that a device says that it verified, at a size that is known.

    Without cosignatures of the board it is the device's word alone: OTHER without evidence.
    """
    if not 0 < head.size <= history.size:
        return Verdict(Fit.AHEAD, head)
    if history.log.root_at(head.size) == head.root:
        return Verdict(Fit.KNOWN, head)
    keys = {
        key: None
        for record in history.records
        for key in (
            *(key for operator in record.operators for key in operator.cosigner_keys),
            *(witness.key for witness in record.witnesses),
        )
    }
    try:
        note = note_of_head(head, cosignatures, keys=keys)
    except Malformed:
        return Verdict(Fit.OTHER, head, detail="no cosignature of the board's is with it")
    return compare(note, history, _no_tiles)


def _no_tiles(tile: Tile) -> bytes:
    raise NotFound(f"{tile} is not asked for at a size that is known")


def _larger(
    note: bytes,
    head: Checkpoint,
    authors: tuple[str, ...],
    history: History,
    read_tile: Callable[[Tile], bytes],
) -> Verdict:
    reader = TileHashReader(read_tile, head.size)
    try:
        path = prove_prefix(reader, old_size=history.size, size=head.size)
        old_root, root = roots_from_prefix(old_size=history.size, size=head.size, path=path)
    except FieldpostError as error:
        return Verdict(Fit.UNPROVEN, head, authors, detail=str(error))
    if root != head.root:
        detail = "its tiles do not lead to its own root"
        return Verdict(Fit.UNPROVEN, head, authors, detail=detail)
    if old_root == history.log.root_at(history.size):
        return Verdict(Fit.AHEAD, head, authors)
    return _other(note, head, authors, history, path)


def _other(
    note: bytes,
    head: Checkpoint,
    authors: tuple[str, ...],
    history: History,
    path: Sequence[bytes],
) -> Verdict:
    evidence = make_evidence(history.board, (history.note, note), path=path, links=history.links)
    return Verdict(Fit.OTHER, head, authors, evidence)


def _claimed(note: bytes) -> Checkpoint | None:
    try:
        return parse_checkpoint(parse_note(note).text)
    except Malformed:
        return None
