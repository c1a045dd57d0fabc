# SPDX-License-Identifier: Apache-2.0
"""Evidence of wrong states: what the rules refuse under a signed head, and what proves nothing."""

from collections.abc import Sequence
from typing import Any

from fieldpost.ledger.batch import apply_batch
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.checkpoint import sign_checkpoint
from fieldpost.tlog.cosignature import cosign, format_cosignature
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import Note, format_note
from fieldpost.tlog.tree import MemoryTree
from fieldpost.tlog.treehead import Checkpoint, format_checkpoint
from fieldpost.watch.state_evidence import WrongState
from vectors.sections.changes import changed
from vectors.sections.world import board


def make() -> dict[str, Any]:
    """The file's content."""
    world = board()
    base = len(world.entries)
    before = [entry.hex() for entry in world.entries]
    return {
        "about": "Evidence of wrong states, judged by the board id that it names and the log before"
        " its base. authors: the operators' keys under the head, as vkey names (reason null).",
        "spec": "docs/spec/evidence.md",
        "before": before,
        "files": [
            {"name": name, "hex": data.hex(), "reason": reason, "authors": authors}
            for name, data, reason, authors in _cases(world, base)
        ],
    }


def _head(world: BoardWorld, entries: Sequence[bytes]) -> bytes:
    """Signed by the first operator's log key, cosigned by the second one and a witness."""
    tree = MemoryTree(map(leaf_hash, entries))
    head = Checkpoint(world.origin, tree.size, tree.root())
    first, second, *_ = world.operators
    witness = world.witnesses[0]
    named = [(second.cosigner_name, second.cosigner()), (witness.key.name, witness.signer)]
    lines = [sign_checkpoint(head, name=head.origin, signer=first.log)]
    lines += [
        format_cosignature(cosign(head, name=name, signer=signer, timestamp=world.time), name=name)
        for name, signer in named
    ]
    return format_note(Note(format_checkpoint(head), tuple(lines)))


Row = tuple[str, bytes, str | None, list[str]]


def _cases(world: BoardWorld, base: int) -> list[Row]:
    before, leaf = list(world.entries), world.entries[-1]
    post = world.maker.lot_enrol(root=b"w" * 32, nonce=2)
    authors = [world.origin, world.operators[1].cosigner_name]

    def file(*entries: bytes, head: bytes | None = None) -> bytes:
        return WrongState(
            board=world.board,
            links=(world.genesis,),
            head=head or _head(world, [*before, *entries]),
            base=base,
            entries=entries,
        ).encode()

    wrong, refused = file(post, leaf), file(b"\xd2\x00", leaf)
    true = apply_batch(world.state, [post], time=world.time + 60).entries
    return [
        ("a leaf that states another map", wrong, None, authors),
        ("a post that the rules refuse", refused, None, authors),
        ("posts without a leaf", file(post), None, authors),
        ("what the rules make", file(*true), "no-wrong-state", []),
        (
            "entries of another log",
            file(leaf, post, head=_head(world, [*before, post, leaf])),
            "no-wrong-state",
            [],
        ),
        ("no links", changed(wrong, (4,), []), "missing-links", []),
        (
            "links of another board",
            changed(wrong, (4,), [BoardWorld(operators=1).genesis]),
            "wrong-board",
            [],
        ),
        ("a base that does not fit", changed(wrong, (6,), base + 1), "malformed", []),
        ("no entries", changed(wrong, (7,), []), "malformed", []),
        ("version 2", changed(wrong, (1,), 2), "malformed", []),
        ("a byte behind it", wrong + b"\x00", "malformed", []),
    ]
