# SPDX-License-Identifier: Apache-2.0
"""The state map: keys of everything, roots, proofs of presence and absence, and bad ones."""

from hashlib import sha256
from typing import Any

from fieldpost import cbor
from fieldpost.records import map_keys
from fieldpost.records.maker import Role
from fieldpost.statemap import StateMap
from fieldpost.statemap.hashing import encode_uvarint
from vectors.sections.changes import flipped

ID = bytes(range(16))
PRINT = bytes(range(32))


def _keys() -> list[Any]:
    cases = [
        ("board record", ["board"], map_keys.board()),
        ("maker record", ["maker", ID], map_keys.maker(ID)),
        ("class record", ["class", ID], map_keys.device_class(ID)),
        ("release record", ["release", ID, 11], map_keys.release(ID, 11)),
        ("lot record", ["lot", ID], map_keys.lot(ID)),
        ("head", ["head", ID, "stable"], map_keys.head(ID, "stable")),
        ("status page", ["status", ID, 3], map_keys.status(ID, 3)),
        ("link of the board", ["link", map_keys.board()], map_keys.link(map_keys.board())),
        ("nonce of a key", ["nonce", PRINT], map_keys.nonce_of_key(PRINT)),
        ("nonce of a role", ["nonce", ID, 2], map_keys.nonce_of_role(ID, Role.RELEASE)),
        ("devices enrolled by a key", ["enrolled", PRINT], map_keys.enrolled_by_key(PRINT)),
        ("used key", ["key", PRINT], map_keys.used_key(PRINT)),
        ("classes of a maker", ["classes", ID], map_keys.maker_classes(ID)),
        ("class counters", ["class-counters", ID], map_keys.class_counters(ID)),
        ("release counters", ["release-counters", ID, 11], map_keys.release_counters(ID, 11)),
        ("manifest", ["manifest", ID, PRINT], map_keys.manifest(ID, PRINT)),
        ("quota", ["quota", ID.hex(), 2], map_keys.quota(ID.hex(), 2)),
    ]
    return [
        {"name": name, "preimage": cbor.encode(parts).hex(), "key": key.hex()}
        for name, parts, key in cases
    ]


def _item(number: int) -> tuple[bytes, bytes]:
    return sha256(b"key %d" % number).digest(), b"value %d" % number


def _proofs() -> tuple[list[Any], list[Any]]:
    roots: list[Any] = []
    proofs: list[Any] = []
    for count in (0, 1, 2, 3, 20, 100):
        items = dict(_item(n) for n in range(count))
        tree = StateMap.build(items.items())
        roots.append({"count": count, "root": tree.root.hex()})
        for name, number in (("first", 0), ("absent", 1_000)):
            key = _item(number)[0]
            value, path = tree.prove(key)
            good = {
                "name": f"{count} keys, {name}",
                "root": tree.root.hex(),
                "key": key.hex(),
                "value": None if value is None else value.hex(),
                "path": path.hex(),
                "reason": None,
            }
            proofs.append(good)
            proofs += [
                good | change | {"name": f"{good['name']}, {why}", "reason": "bad-proof"}
                for why, change in _bad(key, value, path)
            ]
    return roots, proofs


def _bad(key: bytes, value: bytes | None, path: bytes) -> list[tuple[str, dict[str, Any]]]:
    if not path:
        return (
            [("a value instead", {"value": "00"})]
            if value is None
            else [
                ("absent", {"value": None}),
                ("another value", {"value": flipped(value).hex()}),
                ("bit 256", {"path": (encode_uvarint(256) + bytes(32)).hex()}),
            ]
        )
    # An absence proof holds for every key that walks to the same leaf, so it has no such case.
    other = [] if value is None else [("another key", {"key": flipped(key).hex()})]
    return [
        *other,
        ("a bit of the path", {"path": flipped(path).hex()}),
        ("cut off", {"path": path[:-1].hex()}),
        ("a bit position twice", {"path": (path + path[-33:]).hex()}),
        ("another value", {"value": "00"}),
    ]


def make() -> dict[str, Any]:
    """The file's content."""
    roots, proofs = _proofs()
    return {
        "about": "Map keys; roots of the map {SHA-256('key n'): 'value n'} for n in 0..count-1;"
        " proofs (value null: absence).",
        "spec": "docs/spec/state-map.md",
        "keys": _keys(),
        "roots": roots,
        "proofs": proofs,
    }
