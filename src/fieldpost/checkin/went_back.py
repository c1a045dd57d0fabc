# SPDX-License-Identifier: Apache-2.0
"""Evidence that cosigners went back: an older head, which they cosigned after a newer one.

    ["fieldpost/evidence", 1, "went-back", board id, [link…], older, newer]

A cosignature's time says that no larger tree of the log had been seen by then. Whoever had cosigned
one already kept the newer posts from those who were shown the older head (docs/spec/evidence.md).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fieldpost import cbor
from fieldpost.checkin.evidence import (
    MAX_EVIDENCE_BYTES,
    MAX_LINKS,
    TAG,
    VERSION,
    WENT_BACK,
    Signer,
    board_records,
    byte_strings,
    open_times,
)
from fieldpost.errors import Malformed, Untrusted
from fieldpost.records import identifiers
from fieldpost.records.board import BoardRecord
from fieldpost.records.limits import MAX_ENTRY_BYTES
from fieldpost.tlog.note import MAX_NOTE_BYTES, parse_note
from fieldpost.tlog.treehead import Checkpoint, parse_checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class WentBack:
    """Evidence as it was handed over, unverified. Raises Malformed for what has not its form."""

    board: str
    links: tuple[bytes, ...]
    older: bytes
    newer: bytes

    def __post_init__(self) -> None:
        identifiers.origin_of(self.board)
        if len(self.links) > MAX_LINKS or any(len(e) > MAX_ENTRY_BYTES for e in self.links):
            raise Malformed(f"evidence carries at most {MAX_LINKS} links of {MAX_ENTRY_BYTES} B")
        if max(len(self.older), len(self.newer)) > MAX_NOTE_BYTES:
            raise Malformed(f"a note of evidence has at most {MAX_NOTE_BYTES} bytes")
        if not 0 < _size(self.older) < _size(self.newer):
            raise Malformed("evidence of going back shows the smaller head first")

    def encode(self) -> bytes:
        """Deterministic CBOR: the file. Raises Malformed for more than a file may have."""
        data = cbor.encode(
            [TAG, VERSION, WENT_BACK, self.board, list(self.links), self.older, self.newer]
        )
        if len(data) > MAX_EVIDENCE_BYTES:
            raise Malformed(f"evidence of {len(data)} bytes; at most {MAX_EVIDENCE_BYTES}")
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenWentBack:
    """Proven: each of `authors` cosigned the older head later than the newer one."""

    board: str
    older: Checkpoint
    newer: Checkpoint
    authors: tuple[Signer, ...]


def decode_went_back(data: bytes) -> WentBack:
    """Read an evidence file. Raises Malformed."""
    if len(data) > MAX_EVIDENCE_BYTES:
        raise Malformed(f"evidence of {len(data)} bytes; at most {MAX_EVIDENCE_BYTES}")
    match cbor.decode(data):
        case (
            "fieldpost/evidence",
            int(version),
            "went-back",
            str(board),
            tuple(links),
            bytes(older),
            bytes(newer),
        ) if type(version) is int and version == VERSION:
            return WentBack(board=board, links=byte_strings(links), older=older, newer=newer)
        case _:
            raise Malformed("not evidence of going back of version 1")


def verify_went_back(evidence: WentBack, *, links: Sequence[bytes] = ()) -> ProvenWentBack:
    """What the evidence proves to somebody who knows the board id alone.

    `links` are the board's, for evidence that carries none. Raises Malformed, Untrusted as
    `board_records` and `open_times`, and "no-going-back" where nobody cosigned the older head
    later.
    """
    records = board_records(evidence.board, evidence.links or links)
    authors = who_went_back(evidence.older, evidence.newer, records)
    if not authors:
        raise Untrusted("no-going-back", "nobody cosigned the smaller head after the larger one")
    return ProvenWentBack(
        board=evidence.board,
        older=parse_checkpoint(parse_note(evidence.older).text),
        newer=parse_checkpoint(parse_note(evidence.newer).text),
        authors=authors,
    )


def who_went_back(older: bytes, newer: bytes, records: Sequence[BoardRecord]) -> tuple[Signer, ...]:
    """Who cosigned the head `older`, a smaller one, at a later time than `newer`.

    A line without a time claims nothing. Raises as `open_times`.
    """
    origin = records[-1].origin
    _, before = open_times(newer, records, origin=origin)
    _, after = open_times(older, records, origin=origin)
    return tuple(
        signer
        for signer, times in after.items()
        if max(times) > min(_claimed(before.get(signer, ())), default=max(times))
    )


def _claimed(times: Iterable[int]) -> list[int]:
    return [time for time in times if time > 0]


def _size(note: bytes) -> int:
    return parse_checkpoint(parse_note(note).text).size
