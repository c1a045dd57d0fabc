# SPDX-License-Identifier: Apache-2.0
"""The one decision of a witness: may this checkpoint be cosigned after that one? Pure.

A `Cosigned` is all that a witness knows of a log. `decide` answers with the next one or refuses:

    Malformed           400   an old size beyond the checkpoint's
    OtherSize           409   an old size that is not the one cosigned last; carries that one
    Inconsistent        422   a root, or a proof, that does not extend what was cosigned
    Untrusted           403   a state leaf older than the one cosigned last (a board's alone)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fieldpost.errors import Malformed, Untrusted
from fieldpost.tlog.checkpoint import Checkpoint
from fieldpost.tlog.hashing import EMPTY_ROOT, Hash
from fieldpost.tlog.proof import verify_consistency
from fieldpost.tlog.witness import Inconsistent, OtherSize


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardPlace:
    """Where a checkpoint stands in a board's chain: epoch and link digest of its state leaf."""

    epoch: int
    link: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """The checkpoint of one origin that was cosigned last, and when, in Unix seconds."""

    size: int = 0
    root: Hash = EMPTY_ROOT
    timestamp: int = 0
    place: BoardPlace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A checkpoint whose signatures were verified: who signed it is nobody's question any more."""

    checkpoint: Checkpoint
    place: BoardPlace | None = None


def decide(
    last: Cosigned | None,
    admitted: Admitted,
    *,
    old_size: int,
    proof: Sequence[Hash],
    timestamp: int,
) -> Cosigned:
    """What stands once this checkpoint is cosigned at `timestamp` (Unix seconds).

    `last` None: nothing was ever cosigned for this origin. Raises Malformed, OtherSize,
    Inconsistent, Untrusted("not-newer"). ValueError if the time goes back: the caller's bug.
    """
    checkpoint = admitted.checkpoint
    if old_size > checkpoint.size:
        raise Malformed(f"old size {old_size} is beyond the checkpoint's {checkpoint.size}")
    known = last or Cosigned()
    if old_size != known.size:
        raise OtherSize(known.size)
    if timestamp < known.timestamp:
        raise ValueError("a witness's time never goes back")
    check_extends(known, checkpoint, proof)
    _check_place(known.place, admitted.place)
    return Cosigned(
        size=checkpoint.size,
        root=checkpoint.root,
        timestamp=timestamp,
        place=admitted.place,
    )


def check_extends(known: Cosigned, checkpoint: Checkpoint, proof: Sequence[Hash]) -> None:
    """Check that the checkpoint extends what was cosigned. Raises Inconsistent."""
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise Inconsistent("an empty tree has one root only")
    if known.size == 0:
        if proof:
            raise Inconsistent("there is nothing to prove from an empty tree")
        return
    try:
        verify_consistency(
            old_size=known.size,
            old_root=known.root,
            size=checkpoint.size,
            root=checkpoint.root,
            path=proof,
        )
    except (Malformed, Untrusted) as error:
        raise Inconsistent(str(error)) from error


def _check_place(known: BoardPlace | None, now: BoardPlace | None) -> None:
    """A board's chain of links only grows. Raises Untrusted("not-newer")."""
    if known is None or now is None:
        return
    if now.epoch < known.epoch or (now.epoch == known.epoch and now.link != known.link):
        raise Untrusted(
            "not-newer", f"its state leaf is of board epoch {now.epoch}, after one of {known.epoch}"
        )
