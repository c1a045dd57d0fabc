# SPDX-License-Identifier: Apache-2.0
"""The log: roots, proofs, edges, note keys, checkpoints, cosignatures, state leaves, paths."""

from typing import Any

from fieldpost.keys import Algorithm
from fieldpost.records.state_leaf import StateLeaf
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import sign_checkpoint
from fieldpost.tlog.cosignature import (
    Cosignature,
    cosign,
    cosigned_message,
    cosigner_key,
    format_cosignature,
)
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import (
    ED25519,
    Note,
    VerifierKey,
    format_note,
    format_vkey,
)
from fieldpost.tlog.policy import threshold_timestamp
from fieldpost.tlog.proof import prove_consistency, prove_inclusion
from fieldpost.tlog.tiles import Tile, entries_path, tile_path
from fieldpost.tlog.tree import CompactRange, MemoryTree
from fieldpost.tlog.treehead import Checkpoint, format_checkpoint
from vectors.sections.changes import changed, flipped
from vectors.sections.keys import ML, fixed_mldsa_signature

ENTRIES = [b"", *(bytes((n,)) * n for n in range(1, 16))]
ORIGIN = "board.example/1"
TIME = 1_800_000_000


def _hexes(hashes: tuple[bytes, ...]) -> list[str]:
    return [item.hex() for item in hashes]


def _trees() -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    leaves = [leaf_hash(entry) for entry in ENTRIES]
    roots = [
        {"size": size, "root": CompactRange.empty().extend(leaves[:size]).root().hex()}
        for size in range(len(leaves) + 1)
    ]
    tree = MemoryTree(leaves)

    def root(size: int) -> str:
        return CompactRange.empty().extend(leaves[:size]).root().hex()

    inclusion: list[Any] = []
    for index, size in ((0, 1), (0, 2), (1, 2), (2, 3), (4, 7), (6, 7), (0, 8), (7, 8), (11, 16)):
        path = prove_inclusion(tree, index=index, size=size)
        good = {
            "name": f"leaf {index} of {size}",
            "index": index,
            "size": size,
            "leaf_hash": leaves[index].hex(),
            "root": root(size),
            "path": _hexes(path),
            "reason": None,
        }
        inclusion.append(good)
        bad: list[tuple[str, dict[str, Any], str]] = [
            ("another leaf", {"leaf_hash": leaf_hash(b"other").hex()}, "bad-proof"),
            ("a hash too many", {"path": [*_hexes(path), "00" * 32]}, "malformed"),
            ("index = size", {"index": size}, "malformed"),
        ]
        if path:
            bad += [
                ("a hash too few", {"path": _hexes(path[:-1])}, "malformed"),
                ("a bit", {"path": _hexes((flipped(path[0]), *path[1:]))}, "bad-proof"),
                ("31 bytes", {"path": [path[0].hex()[:-2], *_hexes(path[1:])]}, "malformed"),
            ]
        inclusion += [
            good | change | {"name": f"{good['name']}, {name}", "reason": reason}
            for name, change, reason in bad
        ]
    consistency: list[Any] = []
    for old, new in ((1, 1), (1, 2), (2, 3), (3, 7), (4, 8), (6, 8), (7, 16), (8, 13)):
        path = prove_consistency(tree, old_size=old, size=new)
        good = {
            "name": f"{old} to {new}",
            "old_size": old,
            "old_root": root(old),
            "size": new,
            "root": root(new),
            "path": _hexes(path),
            "reason": None,
        }
        consistency.append(good)
        bad = [
            ("another old root", {"old_root": "00" * 32}, "bad-proof"),
            ("another root", {"root": "00" * 32}, "bad-proof"),
            ("a hash too many", {"path": [*_hexes(path), "00" * 32]}, "malformed"),
            ("from nothing", {"old_size": 0}, "malformed"),
            ("backwards", {"old_size": new + 1}, "malformed"),
        ]
        consistency += [
            good | change | {"name": f"{good['name']}, {name}", "reason": reason}
            for name, change, reason in bad
        ]
    edges: list[Any] = []
    for index in range(len(leaves)):
        edge = CompactRange.empty().extend(leaves[:index]).edge()
        good = {
            "name": f"last leaf {index}",
            "index": index,
            "leaf_hash": leaves[index].hex(),
            "edge": _hexes(edge),
            "root": root(index + 1),
            "reason": None,
        }
        more = {"name": f"last leaf {index}, a hash too many", "reason": "malformed"}
        edges += [good, good | more | {"edge": [*_hexes(edge), "00" * 32]}]
    return roots, inclusion, consistency, edges


def _checkpoints() -> tuple[list[Any], list[Any], list[Any]]:
    log = DeterministicSigner(Algorithm.ED25519, "vectors/log")
    operator = DeterministicSigner(Algorithm.ED25519, "vectors/cosigner")
    log_key = VerifierKey(ORIGIN, ED25519, log.public_key.raw)
    ed_key = cosigner_key("operator.example/cosigner", operator.public_key)
    ml_key = cosigner_key("operator.example/cosigner", ML.public_key)
    leaves = [leaf_hash(entry) for entry in ENTRIES[:5]]
    checkpoint = Checkpoint(ORIGIN, 5, CompactRange.empty().extend(leaves).root())
    text = format_checkpoint(checkpoint)
    by_ed = cosign(checkpoint, name=ed_key.name, signer=operator, timestamp=TIME)
    message = cosigned_message(ml_key, checkpoint, TIME)
    by_ml = Cosignature(ml_key.key_id, TIME, fixed_mldsa_signature("checkpoint", message))
    note = format_note(
        Note(
            text,
            (
                sign_checkpoint(checkpoint, name=ORIGIN, signer=log),
                format_cosignature(by_ed, name=ed_key.name),
                format_cosignature(by_ml, name=ml_key.name),
            ),
        )
    )
    keys: list[Any] = [
        {
            "vkey": format_vkey(key),
            "name": key.name,
            "type": key.type,
            "public": key.public.hex(),
            "key_id": key.key_id.hex(),
        }
        for key in (log_key, ed_key, ml_key)
    ]
    notes: list[Any] = [
        {
            "name": "log signature and two cosignatures",
            "note": note.decode(),
            "origin": ORIGIN,
            "size": 5,
            "root": checkpoint.root.hex(),
            "reason": None,
        },
        {
            "name": "a bit of the log signature",
            "origin": ORIGIN,
            "reason": "bad-signature",
            "note": note.decode().replace("\n5\n", "\n6\n"),
        },
        {
            "name": "another origin",
            "origin": "board.example/2",
            "reason": "wrong-origin",
            "note": note.decode(),
        },
        {
            "name": "an extension line",
            "origin": ORIGIN,
            "reason": "malformed",
            "note": note.decode().replace("\n\n", "\nextension\n\n", 1),
        },
        {
            "name": "no blank line",
            "origin": ORIGIN,
            "reason": "malformed",
            "note": note.decode().replace("\n\n", "\n", 1),
        },
    ]
    cosignatures: list[Any] = []
    for key, item in ((ed_key, by_ed), (ml_key, by_ml)):
        good = {
            "name": f"type 0x0{key.type}",
            "vkey": format_vkey(key),
            "checkpoint": text,
            "timestamp": item.timestamp,
            "signature": item.signature.hex(),
            "message": cosigned_message(key, checkpoint, item.timestamp).hex(),
            "reason": None,
        }
        later = cosigned_message(key, checkpoint, TIME + 1).hex()
        moved = {"timestamp": TIME + 1, "message": later, "reason": "bad-signature"}
        cosignatures += [good, good | moved | {"name": f"type 0x0{key.type}, another time"}]
    return keys, notes, cosignatures


def _state_leaves() -> list[Any]:
    leaf = StateLeaf(
        covered_size=5,
        map_root=b"\x11" * 32,
        key_count=9,
        previous_state_index=1,
        time=TIME,
        board_epoch=0,
        board_link=b"\x22" * 32,
    ).encode()
    first = changed(leaf, (5,), None)
    bad: list[tuple[str, bytes]] = [
        ("version 2", changed(leaf, (1,), 2)),
        ("version true", changed(leaf, (1,), True)),
        ("another prefix", changed(leaf, (0,), "fieldpost/State")),
        ("previous leaf is itself", changed(leaf, (5,), 5)),
        ("negative time", changed(leaf, (6,), -1)),
        ("root of 31 bytes", changed(leaf, (3,), bytes(31))),
        ("time is null", changed(leaf, (6,), None)),
        ("a trailing byte", leaf + b"\0"),
    ]
    good = [("the first of a log", first), ("a later one", leaf)]
    return [
        *({"name": name, "hex": data.hex(), "reason": None} for name, data in good),
        *({"name": name, "hex": data.hex(), "reason": "malformed"} for name, data in bad),
    ]


def _paths() -> list[Any]:
    tiles = [(0, 0, 256), (0, 0, 5), (0, 1_234_067, 256), (1, 7, 3), (2, 1_000, 256)]
    return [
        {
            "level": level,
            "index": index,
            "width": width,
            "tile": tile_path(Tile(level, index, width)),
            "entries": entries_path(Tile(level, index, width)) if level == 0 else None,
        }
        for level, index, width in tiles
    ]


def _times() -> list[Any]:
    cases: list[tuple[str, list[tuple[int, list[int]]]]] = [
        ("one of one", [(1, [100])]),
        ("three of four: the third largest", [(3, [100, 90, 80, 70])]),
        ("operators and witnesses: the smaller of both", [(3, [100, 90, 80]), (1, [60, 85])]),
        ("one short", [(3, [100, 90])]),
        ("a group that needs nobody is left out", [(1, [100]), (0, [])]),
    ]
    return [
        {
            "name": name,
            "groups": [{"needed": n, "timestamps": t} for n, t in groups],
            "time": threshold_timestamp(groups),
        }
        for name, groups in cases
    ]


def make() -> dict[str, Any]:
    """The file's content."""
    roots, inclusion, consistency, edges = _trees()
    keys, notes, cosignatures = _checkpoints()
    return {
        "about": "Trees over `entries`; proofs; checkpoints; T of a quorum; state leaves; tiles.",
        "spec": "docs/spec/log.md",
        "entries": [entry.hex() for entry in ENTRIES],
        "roots": roots,
        "inclusion": inclusion,
        "consistency": consistency,
        "edges": edges,
        "vkeys": keys,
        "checkpoints": notes,
        "cosignatures": cosignatures,
        "times": _times(),
        "state_leaves": _state_leaves(),
        "tiles": _paths(),
    }
