# SPDX-License-Identifier: Apache-2.0
"""Records as the map holds them, and what ledger and devices say to each change of one."""

from hashlib import sha256
from typing import Any

from fieldpost import cbor
from fieldpost.cli.domain_proof import domain_line
from fieldpost.posts.envelope import decode_post
from fieldpost.records import map_keys
from fieldpost.records.head import cohort_draw
from vectors.sections.changes import DROP, Place, changed
from vectors.sections.world import board, class_id, head_key, provisioning_entry

_Change = tuple[str, Place, object, str | None, str | None]
MALFORMED, UNSUPPORTED = "malformed", "unsupported"

# (what, place, new value, what the ledger says, what a device says); None: accepted.
EVERY: list[_Change] = [
    ("unknown critical label", (99,), 1, MALFORMED, UNSUPPORTED),
    ("unknown advisory label", (-1,), 1, MALFORMED, None),
]
BOARD: list[_Change] = [
    ("no operators", (4,), [], MALFORMED, MALFORMED),
    ("epoch 0 with a link before it", (3,), bytes(32), MALFORMED, MALFORMED),
    ("two witnesses needed of one", (6,), 2, MALFORMED, MALFORMED),
    ("admission true", (7,), True, MALFORMED, MALFORMED),
    ("unknown critical label of limits", (8, 9), 1, MALFORMED, UNSUPPORTED),
    ("unknown advisory label of an operator", (4, 0, -1), 1, MALFORMED, None),
    ("another name in a log key", (4, 0, 4, 0), "board.example/2", MALFORMED, MALFORMED),
    ("a cosigner key of type 01", (4, 0, 5, 0, 1), b"\1" + bytes(32), MALFORMED, MALFORMED),
]
MAKER: list[_Change] = [
    ("threshold above the number of keys", (4, 1), 4, MALFORMED, MALFORMED),
    ("threshold 0", (4, 1), 0, MALFORMED, MALFORMED),
    ("a scope for a root key", (4, 2, 0, 2), {}, MALFORMED, MALFORMED),
    ("role 6", (5, 6), 1, MALFORMED, UNSUPPORTED),
    ("role -1", (5, -1), 1, MALFORMED, None),
    ("max_age 59", (6, 8), 59, MALFORMED, MALFORMED),
    ("an empty report", (7,), {}, MALFORMED, None),
    ("a policy without board", (6, 1), DROP, MALFORMED, MALFORMED),
    ("a board id in upper case", (6, 1), "board.example/1#" + "AB" * 16, MALFORMED, MALFORMED),
    ("an advisory label of the policy", (6, -7), 1, MALFORMED, None),
    ("a critical label of the policy", (6, 11), 1, MALFORMED, UNSUPPORTED),
]
CLASS: list[_Change] = [
    ("interval bounds the wrong way round", (8,), [600, 60], MALFORMED, MALFORMED),
    ("interval bound true", (8, 0), True, MALFORMED, MALFORMED),
    ("no identity encoding", (9, 3), [1], MALFORMED, MALFORMED),
    ("a channel in capitals", (6, 0), "Stable", MALFORMED, MALFORMED),
    ("a channel twice", (6,), ["stable", "stable"], MALFORMED, MALFORMED),
]
RELEASE: list[_Change] = [
    ("sequence 0", (3,), 0, MALFORMED, MALFORMED),
    ("an artifact of encoding 7 more", (7,), None, MALFORMED, None),
    ("no artifact", (7,), [], MALFORMED, MALFORMED),
    ("the only artifact of encoding 1", (7, 0, 3), 1, MALFORMED, MALFORMED),
    ("a base without a format", (7, 0, 6), bytes(32), MALFORMED, MALFORMED),
    ("kind 2", (9,), 2, MALFORMED, MALFORMED),
]
LOT: list[_Change] = [
    ("no devices", (4,), 0, MALFORMED, MALFORMED),
    ("2^20 + 1 devices", (4,), 2**20 + 1, MALFORMED, MALFORMED),
]
PROVISIONING: list[_Change] = [
    ("no URL", (2,), [], MALFORMED, MALFORMED),
    ("a channel twice", (9,), ["stable", "stable"], MALFORMED, MALFORMED),
]
HEAD: list[_Change] = [
    ("unknown critical label of the first offer: it is skipped", (2, 0, 9), 1, MALFORMED, None),
    ("unknown critical label of its conditions: it is skipped", (2, 0, 7), {7: 1}, MALFORMED, None),
    ("a skipped offer is not read: sequence null", (2, 0), {1: None, 9: 1}, MALFORMED, None),
    ("unknown advisory label of the first offer", (2, 0, -1), 1, MALFORMED, None),
    ("threshold 2^32 + 1", (2, 0, 3), 2**32 + 1, MALFORMED, MALFORMED),
    ("no salt", (2, 0, 4), DROP, MALFORMED, MALFORMED),
    ("the same sequence twice", (2, 1, 1), 11, MALFORMED, MALFORMED),
    ("older offer first", (2, 0, 1), 9, MALFORMED, MALFORMED),
    ("interval 0", (3,), 0, MALFORMED, MALFORMED),
    ("a window over midnight", (2, 0, 7), {6: [79_200, 3_600]}, None, None),
]


def make() -> dict[str, Any]:
    """The file's content."""
    world = board()
    of_class = class_id(world)
    lot = next(
        decode_post(entry).statement.subject for entry in world.entries if b"lot.enrol" in entry
    )
    values = world.state.map
    examples = [
        ("board", values.value(map_keys.board()), BOARD),
        ("maker", values.value(map_keys.maker(world.maker.id)), MAKER),
        ("class", values.value(map_keys.device_class(of_class)), CLASS),
        ("release", values.value(map_keys.release(of_class, 11)), RELEASE),
        ("lot", values.value(map_keys.lot(bytes.fromhex(lot))), LOT),
        ("head", values.value(head_key(world)), HEAD),
        ("provisioning", decode_post(provisioning_entry(world)).statement.payload, PROVISIONING),
    ]
    cases: list[Any] = []
    for record, encoded, changes in examples:
        assert encoded is not None
        cases.append(_case(record, "as it is", encoded, None, None))
        for name, place, new, ledger, device in (*EVERY, *changes):
            if record == "release" and new is None:
                new = _with_another_artifact(encoded)
            cases.append(_case(record, name, changed(encoded, place, new), ledger, device))
    return {
        "about": "Records, and changes of one place. `ledger` and `device`: null where that reader"
        " accepts, else the reason. `skipped`: sequences of offers that a device leaves out."
        " `domains`: the line with which a domain names its maker.",
        "spec": "docs/spec/records.md",
        "records": cases,
        "draws": _draws(),
        "domains": _domains(),
    }


def _domains() -> list[Any]:
    world = board()
    record = world.maker.record()
    return [
        {
            "maker": world.maker.id.hex(),
            "record": record.encode().hex(),
            "line": domain_line(world.maker.id, record),
        }
    ]


def _case(
    record: str, name: str, data: bytes, ledger: str | None, device: str | None
) -> dict[str, Any]:
    case: dict[str, Any] = {
        "record": record,
        "name": name,
        "hex": data.hex(),
        "ledger": ledger,
        "device": device,
    }
    if record == "head" and device is None:
        case["offers"] = [10] if "skipped" in name else [11, 10]
    return case


def _with_another_artifact(release: bytes) -> list[Any]:
    record = cbor.decode(release)
    assert isinstance(record, dict)
    artifacts = record[7]
    assert isinstance(artifacts, tuple)
    first = artifacts[0]
    assert isinstance(first, dict)
    return [first, {1: sha256(b"packed").digest(), 2: 9, 3: 7, 4: first[1]}]


def _draws() -> list[Any]:
    return [
        {
            "salt": salt.hex(),
            "device": device.hex(),
            "draw": cohort_draw(salt, device),
        }
        for salt, device in (
            (bytes(8), bytes(32)),
            (bytes(range(8)), sha256(b"device 1").digest()),
            (bytes(range(8)), sha256(b"device 2").digest()),
        )
    ]
