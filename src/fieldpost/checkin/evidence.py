# SPDX-License-Identifier: Apache-2.0
"""Evidence of a split view: two signed heads of one board that cannot both be honest.

    ["fieldpost/evidence", 1, "split-view", board id, [link…], first, second, [hash…]]

`first` and `second` are checkpoints as C2SP notes, the smaller one first, of equal sizes the one
whose bytes sort first. Equal sizes need no hashes: the roots differ. Otherwise the hashes are a
prefix proof that leads to the root of `second` and, at the size of `first`, to another root than
`first` states. The links are the board's, from its genesis on, so that whoever knows the board id
can tell whose keys signed; they may be left out and fetched (docs/spec/evidence.md).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from fieldpost import cbor
from fieldpost.checkin.bundle import Bundle
from fieldpost.checkin.chains import Tip, follow_board_links
from fieldpost.checkin.views import view_board
from fieldpost.errors import Malformed, Untrusted
from fieldpost.posts.envelope import decode_post
from fieldpost.records import identifiers
from fieldpost.records.board import BoardRecord
from fieldpost.records.limits import MAX_ENTRY_BYTES
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.tlog.checkpoint import keep_valid, open_checkpoint
from fieldpost.tlog.cosignature import Cosignature, format_cosignature, verify_cosignature
from fieldpost.tlog.hashing import HASH_BYTES, Hash, leaf_hash
from fieldpost.tlog.note import (
    ED25519,
    MAX_NOTE_BYTES,
    Note,
    VerifierKey,
    format_note,
    parse_note,
)
from fieldpost.tlog.proof import root_from_edge, roots_from_prefix
from fieldpost.tlog.treehead import Checkpoint, format_checkpoint, parse_checkpoint

TAG: Final = "fieldpost/evidence"
VERSION: Final = 1
SPLIT_VIEW: Final = "split-view"
WENT_BACK: Final = "went-back"
WRONG_STATE: Final = "wrong-state"
MAX_EVIDENCE_BYTES: Final = 2 * 1024 * 1024
MAX_LINKS: Final = 1_024
MAX_HASHES: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitView:
    """Evidence as it was handed over, unverified. `first` and `second` are notes.

    Raises Malformed for what has not the one form that two heads and a proof have.
    """

    board: str
    links: tuple[bytes, ...]
    first: bytes
    second: bytes
    path: tuple[Hash, ...] = ()

    def __post_init__(self) -> None:
        identifiers.origin_of(self.board)
        if len(self.links) > MAX_LINKS or any(len(e) > MAX_ENTRY_BYTES for e in self.links):
            raise Malformed(f"evidence carries at most {MAX_LINKS} links of {MAX_ENTRY_BYTES} B")
        if len(self.path) > MAX_HASHES or any(len(item) != HASH_BYTES for item in self.path):
            raise Malformed(f"evidence carries at most {MAX_HASHES} hashes of 32 bytes")
        if max(len(self.first), len(self.second)) > MAX_NOTE_BYTES:
            raise Malformed(f"a note of evidence has at most {MAX_NOTE_BYTES} bytes")
        first, second = _head(self.first), _head(self.second)
        if (first.size, self.first) >= (second.size, self.second):
            raise Malformed("evidence shows the smaller head first, of equal ones the lesser bytes")
        if (first.size == second.size) != (not self.path):
            raise Malformed("evidence has a prefix proof exactly where the sizes differ")

    def encode(self) -> bytes:
        """Deterministic CBOR: the file."""
        return cbor.encode(
            [
                *(TAG, VERSION, SPLIT_VIEW, self.board, list(self.links)),
                *(self.first, self.second, list(self.path)),
            ]
        )


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose key it is, as the board's own records say: `operator` or `witness`, and the name.

    `is_former`: the board's last record among the links does not name the key any more.
    """

    role: str
    name: str
    key: VerifierKey
    is_former: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenSplitView:
    """A split view that is proven. `authors` signed both heads; each of the others signed one of
    them, so among those who signed alone somebody lied too if there is no author."""

    board: str
    first: Checkpoint
    second: Checkpoint
    signed_first: tuple[Signer, ...]
    signed_second: tuple[Signer, ...]

    @property
    def authors(self) -> tuple[Signer, ...]:
        """The keys that signed both histories."""
        return tuple(signer for signer in self.signed_first if signer in self.signed_second)


def is_evidence(data: bytes) -> bool:
    """Whether a file's first bytes are those of evidence; nothing else is checked."""
    return data.startswith(b"\x88" + cbor.encode(TAG))


def is_state_evidence(data: bytes) -> bool:
    """Whether a file's first bytes are those of evidence of a wrong state (`watch`)."""
    return data.startswith(b"\x88" + b"".join(map(cbor.encode, (TAG, VERSION, WRONG_STATE))))


def is_going_back(data: bytes) -> bool:
    """Whether a file's first bytes are those of evidence of going back (`went_back`)."""
    return data.startswith(b"\x87" + b"".join(map(cbor.encode, (TAG, VERSION, WENT_BACK))))


def decode_evidence(data: bytes) -> SplitView:
    """Read an evidence file. Raises Malformed."""
    if len(data) > MAX_EVIDENCE_BYTES:
        raise Malformed(f"evidence of {len(data)} bytes; at most {MAX_EVIDENCE_BYTES}")
    match cbor.decode(data):
        case (
            "fieldpost/evidence",
            int(version),
            "split-view",
            str(board),
            tuple(links),
            bytes(first),
            bytes(second),
            tuple(path),
        ) if type(version) is int and version == VERSION:
            return SplitView(
                board=board,
                links=byte_strings(links),
                first=first,
                second=second,
                path=byte_strings(path),
            )
        case _:
            raise Malformed("not evidence of a split view of version 1")


def make_evidence(
    board: str, notes: tuple[bytes, bytes], *, path: Sequence[Hash] = (), links: Sequence[bytes]
) -> SplitView:
    """Evidence in its one form, from two notes in any order. Raises Malformed."""
    first, second = sorted(notes, key=lambda note: (_head(note).size, note))
    return SplitView(board=board, links=tuple(links), first=first, second=second, path=tuple(path))


def verify_evidence(evidence: SplitView, *, links: Sequence[bytes] = ()) -> ProvenSplitView:
    """What the evidence proves to somebody who knows the board id alone.

    `links` are the board's, for evidence that carries none. Raises Malformed, and Untrusted:
    "missing-links" without any, "wrong-board", what following links raises, "wrong-origin",
    "unknown-key", "bad-signature", and "no-split-view" where both heads may well be honest.
    """
    records = board_records(evidence.board, evidence.links or links)
    origin = identifiers.origin_of(evidence.board)
    first, signed_first = open_head(evidence.first, records, origin=origin)
    second, signed_second = open_head(evidence.second, records, origin=origin)
    _check_excluded(first, second, evidence.path)
    return ProvenSplitView(
        board=evidence.board,
        first=first,
        second=second,
        signed_first=signed_first,
        signed_second=signed_second,
    )


def _check_excluded(first: Checkpoint, second: Checkpoint, path: Sequence[Hash]) -> None:
    """Raises Untrusted("no-split-view") unless no log has both heads."""
    if first.size == second.size:
        if first.root == second.root:
            raise Untrusted("no-split-view", "both heads state the same tree")
        return
    old_root, root = roots_from_prefix(old_size=first.size, size=second.size, path=path)
    if root != second.root:
        raise Untrusted("no-split-view", "the proof does not lead to the larger head's root")
    if old_root == first.root:
        raise Untrusted("no-split-view", "the larger tree extends the smaller one")


def board_records(board: str, links: Sequence[bytes]) -> list[BoardRecord]:
    """Every record that the board ever had, oldest first, from links that prove it.

    Raises Malformed, Untrusted: "missing-links", "wrong-board", what following links raises.
    """
    if not links:
        raise Untrusted("missing-links", "the board's links are needed, from its genesis on")
    if not board.endswith("#" + leaf_hash(links[0])[:16].hex()):
        raise Untrusted("wrong-board", f"the links do not begin with the genesis of {board}")
    genesis = decode_post(links[0])
    if genesis.statement.kind != "genesis":
        raise Untrusted("wrong-board", f"a {genesis.statement.kind} is no genesis")
    tip = Tip(genesis.statement.payload, sha256(links[0]).digest())
    records = [view_board(tip.record)]
    for entry in links[1:]:
        tip = follow_board_links(tip, [entry], until=sha256(entry).digest(), board=board)
        records.append(view_board(tip.record))
    return records


def open_head(
    note: bytes, records: Sequence[BoardRecord], *, origin: str
) -> tuple[Checkpoint, tuple[Signer, ...]]:
    """A head, and who signed it under any of the records (oldest first).

    Raises as `open_times`.
    """
    head, times = open_times(note, records, origin=origin)
    return head, tuple(times)


def open_times(
    note: bytes, records: Sequence[BoardRecord], *, origin: str
) -> tuple[Checkpoint, dict[Signer, list[int]]]:
    """A head, and when each signed it: in Unix seconds, 0 for a line that claims no time.

    Each record is asked by itself: its key ids are distinct, those of two records need not be, and
    an id of four bytes is quickly ground. Raises Malformed, Untrusted: "wrong-origin",
    "unknown-key", "bad-signature".
    """
    newest = set(_named(records[-1]))
    found: dict[Signer, list[int]] = {}
    failure: Untrusted | None = None
    for record in reversed(records):
        named = {signer.key: signer for signer in _named(record)}
        try:
            _, signatures = open_checkpoint(note, named, origin=origin)
        except Untrusted as error:
            failure = failure or error
            continue
        for signature in signatures:
            signer = named[signature.key]
            known = signer if signer in newest else replace(signer, is_former=True)
            found.setdefault(known, []).append(signature.timestamp or 0)
    if not found:
        raise failure or Untrusted("unknown-key")
    return _head(note), found


def keep_signed(note: bytes, records: Sequence[BoardRecord]) -> bytes:
    """The note with those lines alone that keys of the records made (`tlog.keep_valid`).

    Raises as `keep_valid`.
    """
    return keep_valid(note, (signer.key for record in records for signer in _named(record)))


def _named(record: BoardRecord) -> Iterator[Signer]:
    for operator in record.operators:
        for key in (operator.log_key, *operator.cosigner_keys):
            yield Signer("operator", operator.name, key, is_former=False)
    for witness in record.witnesses:
        yield Signer("witness", witness.key.name, witness.key, is_former=False)


def note_of_bundle(bundle: Bundle, *, origin: str, keys: Iterable[VerifierKey]) -> bytes:
    """The head that a check-in was proven by, as a note: devices keep bundles, C2SP knows notes.

    Only what one of `keys` cosigned is in it. Raises Malformed for a bundle that is none, or that
    none of them cosigned.
    """
    index = decode_state_leaf(bundle.state_leaf).covered_size
    root = root_from_edge(leaf_hash=leaf_hash(bundle.state_leaf), index=index, edge=bundle.edge)
    return note_of_head(Checkpoint(origin, index + 1, root), bundle.cosignatures, keys=keys)


def note_of_head(
    head: Checkpoint, cosignatures: Iterable[Cosignature], *, keys: Iterable[VerifierKey]
) -> bytes:
    """A head with those of the cosignatures that one of `keys` made. Raises Malformed for none."""
    known = tuple(keys)
    lines = [
        format_cosignature(cosignature, name=key.name)
        for cosignature in cosignatures
        for key in known
        if _is_by(key, head, cosignature)
    ]
    return format_note(Note(format_checkpoint(head), tuple(lines)))


def _is_by(key: VerifierKey, head: Checkpoint, cosignature: Cosignature) -> bool:
    if key.key_id != cosignature.key_id or key.type == ED25519:
        return False
    try:
        verify_cosignature(key, head, cosignature, counted=False)
    except Untrusted:
        return False
    return True


def _head(note: bytes) -> Checkpoint:
    return parse_checkpoint(parse_note(note).text)


def byte_strings(values: Iterable[cbor.Value]) -> tuple[bytes, ...]:
    """An array of an evidence file. Raises Malformed for other items."""
    found = tuple(values)
    if any(not isinstance(value, bytes) for value in found):
        raise Malformed("links, hashes and entries of evidence are byte strings")
    return tuple(value for value in found if isinstance(value, bytes))
