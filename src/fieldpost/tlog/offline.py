# SPDX-License-Identifier: Apache-2.0
"""Offline proofs: an entry's inclusion and the checkpoint in one file (C2SP tlog-proof).

    c2sp.org/tlog-proof@v1
    [extra <base64>]
    index <n>
    <base64 hash>                    leaf to root, one for each line
    <blank line>
    <checkpoint, verbatim>

`extra` is authenticated by nobody. The entry itself is not in the file.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fieldpost.errors import Malformed
from fieldpost.tlog.hashing import HASH_BYTES, Hash, leaf_hash
from fieldpost.tlog.note import MAX_NOTE_BYTES, format_base64, parse_base64, parse_note
from fieldpost.tlog.policy import Policy
from fieldpost.tlog.proof import verify_inclusion
from fieldpost.tlog.treehead import MAX_SIZE, Checkpoint, parse_checkpoint, parse_decimal

MAX_PATH: Final = 63
MAX_EXTRA_BYTES: Final = 65_535

_HEADER: Final = "c2sp.org/tlog-proof@v1"
_MAX_HEAD_BYTES: Final = 131_072


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineProof:
    """A proof as it came: nothing is verified. `path` runs from leaf to root.

    Raises Malformed for an index outside 0…2^63-1, over 63 hashes, hashes that are not 32
    bytes, an empty `extra` or one over 65,535 bytes, a note that holds no checkpoint.
    """

    index: int
    path: tuple[Hash, ...]
    checkpoint_note: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index <= MAX_SIZE:
            raise Malformed("an entry's index is 0…2^63-1")
        if len(self.path) > MAX_PATH or any(len(item) != HASH_BYTES for item in self.path):
            raise Malformed(f"a proof has at most {MAX_PATH} hashes of 32 bytes")
        if self.extra is not None and not 1 <= len(self.extra) <= MAX_EXTRA_BYTES:
            raise Malformed("extra data of a proof is absent or 1 to 65,535 bytes")
        parse_checkpoint(parse_note(self.checkpoint_note).text, extensions=True)


def parse_offline_proof(data: bytes) -> OfflineProof:
    """Read a proof. Raises Malformed; what it accepts formats back to the same bytes."""
    head, seam, note = data[: _MAX_HEAD_BYTES + MAX_NOTE_BYTES + 1].partition(b"\n\n")
    if not seam or len(head) > _MAX_HEAD_BYTES:
        raise Malformed("an offline proof needs a blank line before its checkpoint")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Malformed("an offline proof is not ASCII before its checkpoint") from error
    if lines.pop(0) != _HEADER:
        raise Malformed(f"an offline proof begins with {_HEADER}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = parse_base64(lines.pop(0).removeprefix("extra "))
    if not lines or not lines[0].startswith("index "):
        raise Malformed("an offline proof needs an index line")
    index = parse_decimal(lines.pop(0).removeprefix("index "))
    path = tuple(parse_base64(line) for line in lines)
    return OfflineProof(index=index, path=path, checkpoint_note=note, extra=extra)


def format_offline_proof(proof: OfflineProof) -> bytes:
    """The bytes of a proof, for a file that ends in `.tlog-proof`."""
    path = map(format_base64, proof.path)
    return _format(proof.index, path, proof.extra, proof.checkpoint_note)


def format_offline_proofs(
    paths: Sequence[tuple[int, tuple[Hash, ...]]], checkpoint_note: bytes
) -> list[bytes]:
    """`format_offline_proof` for several (index, path) of one checkpoint, which is judged once.

    Raises Malformed as `OfflineProof` does.
    """
    judged = OfflineProof(index=0, path=(), checkpoint_note=checkpoint_note)
    # Neighbours share most of their paths.
    hashes = frozenset[Hash]().union(*[path for _, path in paths])
    shown = {item: format_base64(item) for item in hashes}
    return [
        _format(index, [shown[item] for item in path], None, judged.checkpoint_note)
        for index, path in paths
    ]


def _format(index: int, path: Iterable[str], extra: bytes | None, note: bytes) -> bytes:
    lines = [_HEADER] if extra is None else [_HEADER, f"extra {format_base64(extra)}"]
    return "\n".join([*lines, f"index {index}", *path, "", ""]).encode("ascii") + note


def verify_offline_proof(
    entry: bytes,
    proof: OfflineProof,
    policy: Policy,
    *,
    origin: str | None = None,
    extensions: bool = False,
) -> Checkpoint:
    """Check that `entry` is in a log that the policy believes; returns the checkpoint.

    Raises Malformed for a path of the wrong shape, and Untrusted as `Policy.verify` and
    `verify_inclusion` do. How old the checkpoint may be is the caller's question.
    """
    checkpoint, _ = policy.verify(proof.checkpoint_note, origin=origin, extensions=extensions)
    verify_inclusion(
        leaf_hash=leaf_hash(entry),
        index=proof.index,
        size=checkpoint.size,
        root=checkpoint.root,
        path=proof.path,
    )
    return checkpoint
