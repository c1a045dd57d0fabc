# SPDX-License-Identifier: Apache-2.0
"""Evidence of a wrong state: a signed head over a log that the board's rules refuse.

    ["fieldpost/evidence", 1, "wrong-state", board id, [link…], head, base, [entry…]]

`head` is a checkpoint as a C2SP note. The entries are those of its log from index `base` on; those
before are the board's, and whoever judges takes them from any copy of its log: the head's root says
whether they are the right ones. Then every rule is applied again (docs/spec/evidence.md).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from fieldpost import cbor
from fieldpost.checkin.evidence import (
    MAX_EVIDENCE_BYTES,
    MAX_LINKS,
    TAG,
    VERSION,
    WRONG_STATE,
    Signer,
    board_records,
    byte_strings,
    open_head,
)
from fieldpost.errors import Malformed, Untrusted
from fieldpost.ledger.replay import replay
from fieldpost.records import identifiers
from fieldpost.records.limits import MAX_ENTRY_BYTES
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import MAX_NOTE_BYTES, parse_note
from fieldpost.tlog.tree import CompactRange
from fieldpost.tlog.treehead import Checkpoint, parse_checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongState:
    """Evidence as it was handed over, unverified. Raises Malformed for what has not its form."""

    board: str
    links: tuple[bytes, ...]
    head: bytes
    base: int
    entries: tuple[bytes, ...]

    def __post_init__(self) -> None:
        identifiers.origin_of(self.board)
        if len(self.links) > MAX_LINKS or len(self.head) > MAX_NOTE_BYTES:
            raise Malformed(f"evidence carries at most {MAX_LINKS} links and one note")
        if any(len(one) > MAX_ENTRY_BYTES for one in (*self.links, *self.entries)):
            raise Malformed(f"an entry of evidence has at most {MAX_ENTRY_BYTES} bytes")
        size = parse_checkpoint(parse_note(self.head).text).size
        if not self.entries or self.base < 0 or self.base + len(self.entries) != size:
            raise Malformed("evidence carries the log's entries from its base to its head")

    def encode(self) -> bytes:
        """Deterministic CBOR: the file. Raises Malformed for more than a file may have."""
        data = cbor.encode(
            [
                *(TAG, VERSION, WRONG_STATE, self.board, list(self.links)),
                *(self.head, self.base, list(self.entries)),
            ]
        )
        if len(data) > MAX_EVIDENCE_BYTES:
            raise Malformed(f"evidence of {len(data)} bytes; at most {MAX_EVIDENCE_BYTES}")
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenWrongState:
    """A wrong state that is proven. `authors` are operators: they sign what they recomputed, while
    a witness vouches for the log alone. `why`: what the rules say."""

    board: str
    head: Checkpoint
    authors: tuple[Signer, ...]
    why: str


def decode_state_evidence(data: bytes) -> WrongState:
    """Read an evidence file. Raises Malformed."""
    if len(data) > MAX_EVIDENCE_BYTES:
        raise Malformed(f"evidence of {len(data)} bytes; at most {MAX_EVIDENCE_BYTES}")
    match cbor.decode(data):
        case (
            "fieldpost/evidence",
            int(version),
            "wrong-state",
            str(board),
            tuple(links),
            bytes(head),
            int(base),
            tuple(entries),
        ) if (type(version), version, type(base)) == (int, VERSION, int):
            return WrongState(
                board=board,
                links=byte_strings(links),
                head=head,
                base=base,
                entries=byte_strings(entries),
            )
        case _:
            raise Malformed("not evidence of a wrong state of version 1")


def verify_state_evidence(
    evidence: WrongState, before: Iterable[bytes], *, links: Sequence[bytes] = ()
) -> ProvenWrongState:
    """What the evidence proves to somebody who knows the board id, and has a copy of its log.

    `before` are the log's entries up to `evidence.base`, from anybody. `links` are the board's, for
    evidence that carries none. Raises Malformed, Untrusted as `open_head` and `board_records`,
    "no-wrong-state" where entries and head do not belong together, or the rules lead to just this
    state; Misconfigured for rules that are not known here.
    """
    records = board_records(evidence.board, evidence.links or links)
    origin = identifiers.origin_of(evidence.board)
    head, signers = open_head(evidence.head, records, origin=origin)
    entries = list(chain(before, evidence.entries))
    whole = CompactRange.empty().extend(map(leaf_hash, entries))
    if (whole.size, whole.root()) != (head.size, head.root):
        raise Untrusted("no-wrong-state", "these entries are not those of the head's log")
    why = _refusal(entries)
    if why is None:
        raise Untrusted("no-wrong-state", "the rules lead to just this state")
    authors = tuple(signer for signer in signers if signer.role == "operator")
    return ProvenWrongState(board=evidence.board, head=head, authors=authors, why=why)


def _refusal(entries: Iterable[bytes]) -> str | None:
    try:
        replay(None, entries)
    except (Untrusted, Malformed) as error:
        return str(error)
    return None
