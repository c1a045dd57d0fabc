# SPDX-License-Identifier: Apache-2.0
"""What is published: one head for every size that some device policy may still need.

A size is published once ⌊2n/3⌋+1 operators and as many witnesses as the board record demands
cosigned it. A maker's policy may demand more witnesses than the record, and cosignatures come
late, so the size to serve is asked per policy. A head goes as soon as a newer one has every
witness that it has, or could still get: then no policy can prefer it. Where the record names no
witness there is one head.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fieldpost.engines.base import PublishedHead
from fieldpost.errors import Malformed, NotFound, Unavailable, Untrusted
from fieldpost.records.board import BoardRecord
from fieldpost.records.policy import DevicePolicy
from fieldpost.statemap import StateMap
from fieldpost.tlog.checkpoint import Checkpoint, format_checkpoint, open_checkpoint
from fieldpost.tlog.cosignature import parse_cosignature, verify_cosignature
from fieldpost.tlog.note import Note, NoteSignature, VerifierKey, format_note, parse_note
from fieldpost.tlog.policy import threshold_timestamp

# Published sizes that are kept for cosignatures that may be under way. Cosigners pass sizes over.
MOST_AWAITED: Final = 64
_RETRY_S: Final = 5


class TooFew(Unavailable):
    """A size is durable, and not cosigned by as many as its board record demands."""


@dataclass(frozen=True, slots=True)
class PublishedHeads:
    """The heads that are kept, oldest first; at least one. Immutable, for any thread."""

    heads: tuple[PublishedHead, ...]

    @property
    def newest(self) -> PublishedHead:
        """The head of `log/checkpoint`."""
        return self.heads[-1]

    @property
    def oldest_size(self) -> int:
        """From here on a restart must be able to rebuild the map."""
        return self.heads[0].size

    def satisfying(self, policy: DevicePolicy) -> PublishedHead:
        """The largest size that enough of the policy's witnesses cosigned. Raises Unavailable."""
        for head in reversed(self.heads):
            if len(head.witnesses.intersection(policy.witnesses)) >= policy.witnesses_needed:
                return head
        raise Unavailable(
            f"no published size has {policy.witnesses_needed} of the witnesses that the maker's "
            "policy names; they may be late",
            _RETRY_S,
        )

    def of_size(self, size: int) -> PublishedHead:
        """The head of one size. Raises NotFound if it was passed over or dropped."""
        for head in self.heads:
            if head.size == size:
                return head
        raise NotFound(f"size {size} is not waited for")

    def with_head(self, head: PublishedHead) -> "PublishedHeads":
        """These heads with `head` in its place, without those that no policy can need."""
        others = [other for other in self.heads if other.size != head.size]
        return PublishedHeads(_needed(sorted([*others, head], key=lambda one: one.size)))


def _needed(heads: Sequence[PublishedHead]) -> tuple[PublishedHead, ...]:
    kept: list[PublishedHead] = []
    for head in reversed(heads):
        newer = [other.witnesses for other in kept]
        if any(head.witnesses | head.awaited <= witnesses for witnesses in newer):
            continue
        is_best = not any(head.witnesses <= witnesses for witnesses in newer)
        if is_best or len(kept) < MOST_AWAITED:
            kept.append(head)
    return tuple(reversed(kept))


def assemble_head(
    checkpoint: Checkpoint,
    signature: NoteSignature,
    cosignatures: Iterable[NoteSignature],
    *,
    record: BoardRecord,
    state_leaf: bytes,
    edge: tuple[bytes, ...],
    map_: StateMap,
) -> PublishedHead:
    """The head that these cosignatures publish; of one key the latest counts.

    Lines by keys that `record` does not name are left out. Raises Untrusted("bad-signature") for
    a bad one of a known key, which would refuse every bundle, and TooFew.
    """
    lines = latest_lines(checkpoint, cosignatures, record)
    operators = [operator.cosigner_keys for operator in record.operators]
    named = [witness.key for witness in record.witnesses]
    present = frozenset(key for key in named if key in lines)
    timestamp = _published_time(checkpoint, lines, record)
    order = [key for keys in operators for key in keys] + named
    ordered = [lines[key] for key in order if key in lines]
    return PublishedHead(
        checkpoint=checkpoint,
        note=format_note(Note(format_checkpoint(checkpoint), (signature, *ordered))),
        state_leaf=state_leaf,
        edge=edge,
        cosignatures=tuple(parse_cosignature(line) for line in ordered),
        map=map_,
        timestamp=timestamp,
        witnesses=present,
        awaited=frozenset(named) - present,
    )


def verify_published(note: bytes, record: BoardRecord) -> Checkpoint:
    """The checkpoint of a note that `record`'s operators and witnesses have published.

    Raises Malformed; Untrusted for another origin, for no log signature of an operator, for a bad
    signature of any known key, and "no-quorum" where they are too few.
    """
    log_keys = [operator.log_key for operator in record.operators]
    checkpoint, _ = open_checkpoint(note, log_keys, origin=record.origin)
    lines = latest_lines(checkpoint, parse_note(note).signatures, record)
    try:
        _published_time(checkpoint, lines, record)
    except Unavailable as error:
        raise Untrusted("no-quorum", str(error)) from error
    return checkpoint


def cosign_later(
    head: PublishedHead, cosignatures: Iterable[NoteSignature], record: BoardRecord
) -> PublishedHead:
    """The head with cosignatures that came after it was published. Raises as `assemble_head`."""
    signature, *lines = parse_note(head.note).signatures
    return assemble_head(
        head.checkpoint,
        signature,
        [*lines, *cosignatures],
        record=record,
        state_leaf=head.state_leaf,
        edge=head.edge,
        map_=head.map,
    )


def _published_time(
    checkpoint: Checkpoint, lines: Mapping[VerifierKey, NoteSignature], record: BoardRecord
) -> int:
    """The time of the quorum. Raises Unavailable if the lines are too few for it."""
    timestamps = {key: parse_cosignature(line).timestamp for key, line in lines.items()}
    operators = _times((operator.cosigner_keys for operator in record.operators), timestamps)
    witnesses = _times(((witness.key,) for witness in record.witnesses), timestamps)
    timestamp = threshold_timestamp(
        [(record.quorum, operators), (record.witnesses_needed, witnesses)]
    )
    if timestamp is None:
        raise TooFew(
            f"size {checkpoint.size} has {len(operators)} of {record.quorum} operators and "
            f"{len(witnesses)} of {record.witnesses_needed} witnesses",
            _RETRY_S,
        )
    return timestamp


def latest_lines(
    checkpoint: Checkpoint, lines: Iterable[NoteSignature], record: BoardRecord
) -> dict[VerifierKey, NoteSignature]:
    """The latest line of each key that the record names. Raises Untrusted("bad-signature")."""
    keys = [key for operator in record.operators for key in operator.cosigner_keys]
    keys += [witness.key for witness in record.witnesses]
    by_id = {key.key_id: key for key in keys}
    latest: dict[VerifierKey, tuple[int, NoteSignature]] = {}
    for line in lines:
        key = by_id.get(line.key_id)
        if key is None or line.name != key.name:
            continue
        try:
            cosignature = verify_cosignature(key, checkpoint, parse_cosignature(line))
        except Malformed as error:
            raise Untrusted("bad-signature", f"{key.name}: {error}") from error
        if key not in latest or cosignature.timestamp >= latest[key][0]:
            latest[key] = cosignature.timestamp, line
    return {key: line for key, (_, line) in latest.items()}


def _times(
    members: Iterable[Collection[VerifierKey]], timestamps: dict[VerifierKey, int]
) -> list[int]:
    """One timestamp for every member who has any: the latest of its keys."""
    found = [[timestamps[key] for key in keys if key in timestamps] for keys in members]
    return [max(times) for times in found if times]
