# SPDX-License-Identifier: Apache-2.0
"""Evidence of going back: an older head that was cosigned after a newer one, and what is none."""

from typing import Any

from fieldpost.checkin.went_back import WentBack
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.checkpoint import sign_checkpoint
from fieldpost.tlog.cosignature import cosign, format_cosignature
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import Note, format_note
from fieldpost.tlog.tree import MemoryTree
from fieldpost.tlog.treehead import Checkpoint, format_checkpoint
from vectors.sections.changes import changed
from vectors.sections.world import board


def make() -> dict[str, Any]:
    """The file's content."""
    return {
        "about": "Evidence of going back, judged by the board id that it names. authors: the keys"
        " that cosigned the smaller head later, as vkey names (reason null).",
        "spec": "docs/spec/evidence.md",
        "files": [
            {"name": name, "hex": data.hex(), "reason": reason, "authors": authors}
            for name, data, reason, authors in _cases(board())
        ],
    }


def _head(world: BoardWorld, size: int, *times: int | None) -> bytes:
    """Signed by the first operator's log key; the n-th operator cosigned it at the n-th time."""
    tree = MemoryTree(map(leaf_hash, world.entries[:size]))
    head = Checkpoint(world.origin, tree.size, tree.root())
    lines = [sign_checkpoint(head, name=head.origin, signer=world.operators[0].log)]
    lines += [
        format_cosignature(
            cosign(head, name=one.cosigner_name, signer=one.cosigner(), timestamp=time),
            name=one.cosigner_name,
        )
        for one, time in zip(world.operators, times, strict=False)
        if time is not None
    ]
    return format_note(Note(format_checkpoint(head), tuple(lines)))


Row = tuple[str, bytes, str | None, list[str]]


def _cases(world: BoardWorld) -> list[Row]:
    now, size = world.time, len(world.entries)
    first, second = (one.cosigner_name for one in world.operators[:2])

    def file(older: tuple[int | None, ...], newer: tuple[int | None, ...]) -> bytes:
        return WentBack(
            board=world.board,
            links=(world.genesis,),
            older=_head(world, size - 1, *older),
            newer=_head(world, size, *newer),
        ).encode()

    both = file((now + 2, now + 1), (now, now))
    return [
        ("both operators went back", both, None, [first, second]),
        ("one of two", file((now + 1, now), (now, now)), None, [first]),
        ("the same second", file((now, now), (now, now)), "no-going-back", []),
        ("in order", file((now, now), (now + 1, now + 1)), "no-going-back", []),
        ("others than those of the newer head", file((now + 1,), (None, now)), "no-going-back", []),
        ("log keys alone", file((), ()), "no-going-back", []),
        ("no links", changed(both, (4,), []), "missing-links", []),
        (
            "links of another board",
            changed(both, (4,), [BoardWorld(operators=1).genesis]),
            "wrong-board",
            [],
        ),
        (
            "the larger head first",
            changed(both, (5,), _head(world, size, now)),
            "malformed",
            [],
        ),
        ("version 2", changed(both, (1,), 2), "malformed", []),
        ("a byte behind it", both + b"\x00", "malformed", []),
    ]
