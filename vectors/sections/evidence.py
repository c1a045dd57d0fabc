# SPDX-License-Identifier: Apache-2.0
"""Evidence of split views: who signed both of two heads, and what proves nothing."""

from collections.abc import Sequence
from typing import Any

from fieldpost.checkin.evidence import make_evidence
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.checkpoint import sign_checkpoint
from fieldpost.tlog.cosignature import cosign, format_cosignature
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import Note, format_note
from fieldpost.tlog.proof import prove_prefix
from fieldpost.tlog.tree import MemoryTree
from fieldpost.tlog.treehead import Checkpoint, format_checkpoint
from vectors.sections.changes import changed
from vectors.sections.world import board, board_link


def make() -> dict[str, Any]:
    """The file's content."""
    world = board()
    return {
        "about": "Evidence files, judged by the board id that they name. authors: the keys that"
        " signed both heads, as vkey names in byte order (reason null).",
        "spec": "docs/spec/evidence.md",
        "files": [
            {"name": name, "hex": data.hex(), "reason": reason, "authors": authors}
            for name, data, reason, authors in _cases(world)
        ],
    }


def _tree(*entries: bytes) -> MemoryTree:
    return MemoryTree(map(leaf_hash, entries))


def _row(word: str, count: int) -> MemoryTree:
    return _tree(*[f"{word} {number}".encode() for number in range(count)])


def _head(
    world: BoardWorld,
    tree: MemoryTree,
    *,
    logs: Sequence[int] = (),
    cosigners: Sequence[int] = (),
    origin: str | None = None,
) -> bytes:
    head = Checkpoint(origin or world.origin, tree.size, tree.root())
    lines = [sign_checkpoint(head, name=head.origin, signer=world.operators[n].log) for n in logs]
    for actor in (world.operators[n] for n in cosigners):
        name = actor.cosigner_name
        line = cosign(head, name=name, signer=actor.cosigner(), timestamp=world.time)
        lines.append(format_cosignature(line, name=name))
    return format_note(Note(format_checkpoint(head), tuple(lines)))


Row = tuple[str, bytes, str | None, list[str]]


def _cases(world: BoardWorld) -> list[Row]:
    links = (world.genesis,)
    one, two = _tree(b"a"), _tree(b"b")
    equal = _head(world, one, logs=[0, 1]), _head(world, two, logs=[1], cosigners=[0])
    good = make_evidence(world.board, equal, links=links).encode()
    cosigned = _head(world, one, cosigners=[0, 2]), _head(world, two, cosigners=[0, 2])
    alone = _head(world, one, logs=[0]), _head(world, two, logs=[1])
    other = _head(world, two, logs=[0], origin="other.example/1")
    names = [world.operators[n].cosigner_name for n in (0, 2)]
    return [
        ("one size, one log key under both", good, None, [world.origin]),
        (
            "one size, two cosigners of both",
            make_evidence(world.board, cosigned, links=links).encode(),
            None,
            names,
        ),
        (
            "a link later",
            make_evidence(world.board, equal, links=(*links, board_link(world))).encode(),
            None,
            [world.origin],
        ),
        ("nobody signed both", make_evidence(world.board, alone, links=links).encode(), None, []),
        *_two_sizes(world),
        (
            "the same tree twice",
            make_evidence(
                world.board, (_head(world, one, logs=[0]), _head(world, one, logs=[1])), links=links
            ).encode(),
            "no-split-view",
            [],
        ),
        ("no links", changed(good, (4,), []), "missing-links", []),
        (
            "links of another board",
            changed(good, (4,), [BoardWorld(operators=1).genesis]),
            "wrong-board",
            [],
        ),
        (
            "another log's head",
            make_evidence(world.board, (equal[0], other), links=links).encode(),
            "wrong-origin",
            [],
        ),
        ("signatures of the other head", _swapped(world), "bad-signature", []),
        ("version 2", changed(good, (1,), 2), "malformed", []),
        ("another kind", changed(good, (2,), "wrong-state"), "malformed", []),
        ("a proof between equal sizes", changed(good, (7,), [bytes(32)]), "malformed", []),
        ("heads in the other order", _reversed(world), "malformed", []),
        ("a byte behind it", good + b"\x00", "malformed", []),
    ]


def _two_sizes(world: BoardWorld) -> list[Row]:
    rows: list[Row] = []
    links = (world.genesis,)
    for small, large in ((1, 2), (3, 7), (4, 9), (6, 300)):
        tree, whole = _row("other", small), _row("entry", large)
        notes = _head(world, tree, cosigners=[0]), _head(world, whole, cosigners=[0])
        path = prove_prefix(whole, old_size=small, size=large)
        name = f"{large} entries that do not begin with the {small}"
        data = make_evidence(world.board, notes, path=path, links=links).encode()
        rows.append((name, data, None, [world.operators[0].cosigner_name]))
    honest, whole = _row("entry", 3), _row("entry", 7)
    notes = _head(world, honest, logs=[0]), _head(world, whole, logs=[0])
    proofs = {
        "7 entries that begin with the 3": prove_prefix(whole, old_size=3, size=7),
        "a proof of another tree": prove_prefix(_row("other", 7), old_size=3, size=7),
    }
    rows += [
        (
            name,
            make_evidence(world.board, notes, path=path, links=links).encode(),
            "no-split-view",
            [],
        )
        for name, path in proofs.items()
    ]
    short = make_evidence(
        world.board, notes, path=proofs["7 entries that begin with the 3"][1:], links=links
    )
    return [*rows, ("a proof that is too short", short.encode(), "malformed", [])]


def _swapped(world: BoardWorld) -> bytes:
    one, two = _head(world, _tree(b"a"), logs=[0]), _head(world, _tree(b"b"), logs=[0])
    mixed = two.partition(b"\n\n")[0] + b"\n\n" + one.partition(b"\n\n")[2]
    return make_evidence(world.board, (one, mixed), links=(world.genesis,)).encode()


def _reversed(world: BoardWorld) -> bytes:
    notes = _head(world, _tree(b"a"), logs=[0]), _head(world, _tree(b"b"), logs=[0])
    whole = make_evidence(world.board, notes, links=(world.genesis,))
    return changed(changed(whole.encode(), (5,), whole.second), (6,), whole.first)
