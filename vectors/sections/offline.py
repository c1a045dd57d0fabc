# SPDX-License-Identifier: Apache-2.0
"""Updates in one file: the container, whole and broken. What it holds is judged elsewhere."""

from collections.abc import Callable
from typing import Any

from fieldpost import cbor
from fieldpost.checkin.offline_bundle import OfflineBundle, encode_offline_bundle
from fieldpost.records import map_keys
from fieldpost.testing.world import BoardWorld
from vectors.sections.changes import changed
from vectors.sections.world import board, bundle, class_id, link_entry

ARTIFACTS = (b"the plain image", b"its packed form")


def _whole(world: BoardWorld, *, proof: bool = True) -> bytes:
    release = map_keys.release(class_id(world), 11)
    container = OfflineBundle(
        check_in=bundle(world),
        board_links=(world.genesis,),
        maker_links=(link_entry(world, "maker.register"),),
        envelope=b"the manifest's envelope",
        release_proof=bundle(world, release) if proof else None,
    )
    pieces = encode_offline_bundle(container, [(len(data), [data]) for data in ARTIFACTS])
    return b"".join(pieces)


def _members(members: Callable[[list[Any]], list[Any]], data: bytes) -> bytes:
    value = cbor.decode(data)
    assert isinstance(value, tuple)
    return cbor.encode(members(list(value)))


def make() -> dict[str, Any]:
    """The file's content."""
    world = board()
    good = _whole(world)
    cases: list[tuple[str, bytes, str | None]] = [
        ("with a proof of the release", good, None),
        ("without one", _whole(world, proof=False), None),
        ("without artifacts", changed(good, (6,), []), None),
        ("version 2", changed(good, (0,), 2), "malformed"),
        ("a member more", _members(lambda members: [*members, 0], good), "malformed"),
        ("a member less", _members(lambda members: members[:-1], good), "malformed"),
        ("a byte behind it", good + b"\x00", "malformed"),
        ("its last byte missing", good[:-1], "malformed"),
        ("a link that is no byte string", changed(good, (2,), [7]), "malformed"),
        ("33 artifacts", changed(good, (6,), [b"x"] * 33), "malformed"),
        ("4,097 links", changed(good, (3,), [b""] * 4_097), "malformed"),
        ("an entry of 65,536 bytes", changed(good, (3,), [bytes(65_536)]), "malformed"),
        ("an envelope of 16,385 bytes", changed(good, (4,), bytes(16_385)), "malformed"),
        # The same array, its head in two bytes instead of one.
        ("a length in more bytes than it needs", b"\x98\x07" + good[1:], "malformed"),
    ]
    return {
        "about": "Updates in one file. artifacts: offset and size of each in the file, in order"
        " (reason null). Bundle, links, envelope and proof are judged as online.",
        "spec": "docs/spec/check-in.md",
        "files": [
            {
                "name": name,
                "hex": data.hex(),
                "reason": reason,
                "artifacts": _spans(data) if reason is None else None,
            }
            for name, data, reason in cases
        ],
    }


def _spans(data: bytes) -> list[list[int]]:
    value = cbor.decode(data)
    assert isinstance(value, tuple)
    artifacts = value[6]
    assert isinstance(artifacts, tuple)
    return [[data.index(item), len(item)] for item in artifacts if isinstance(item, bytes)]
