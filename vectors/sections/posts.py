# SPDX-License-Identifier: Apache-2.0
"""Posts of every kind that has a rule, receipts of their signatures, and what is no post."""

from typing import Any

from fieldpost import cbor
from fieldpost.keys import PublicKey
from fieldpost.posts.envelope import decode_post
from fieldpost.records.maker import Role
from vectors.sections import payloads
from vectors.sections.changes import DROP, Place, changed, flipped
from vectors.sections.world import board, board_link, maker_link, new_roots, provisioning_entry

_Bad = tuple[str, Place, object]

ALONE: list[_Bad] = [
    ("an unprotected header", (1,), {4: b"kid"}),
    ("payload null", (2,), None),
    ("no algorithm", (0, 1), DROP),
    ("algorithm -8", (0, 1), -8),
    ("algorithm true", (0, 1), True),
    ("kid of 31 bytes", (0, 4), bytes(31)),
    ("a crit header", (0, 2), [3]),
    ("content type application/cbor", (0, 3), "application/cbor"),
    ("content type without kind", (0, 3), "application/vnd.fieldpost.+cbor"),
    ("content type as a number", (0, 3), 60),
    ("no audience", (0, 15, 3), DROP),
    ("an expiry claim", (0, 15, 4), 1),
    ("issuer as bytes", (0, 15, 1), b"x"),
    ("subject with a newline", (0, 15, 2), "a\nb"),
    ("signature of 63 bytes", (3,), bytes(63)),
]
TOGETHER: list[_Bad] = [
    ("one signer in tag 98", (3,), "first"),
    ("signers the wrong way round", (3,), "reversed"),
    ("a signer twice", (3,), "twice"),
    ("no signers", (3,), []),
    ("a content type beside a signature", (3, 0, 0, 3), "application/cbor"),
    ("an unprotected header of a signer", (3, 0, 1), {1: 1}),
    ("an algorithm in the body's header", (0, 1), -19),
]


def _keys() -> dict[bytes, PublicKey]:
    world = board()
    signers = [
        *(signer for role in Role for signer in world.maker.keys[role]),
        *(operator.governance for operator in world.operators),
        *new_roots(),
        *(signer for _, signer in payloads.entries()),
    ]
    return {signer.public_key.thumbprint(): signer.public_key for signer in signers}


def make() -> dict[str, Any]:
    """The file's content."""
    world = board()
    entries: list[bytes] = [entry for entry in world.entries if entry[:1] != b"\x89"]
    seen: set[str] = set()
    first = []
    others = [board_link(world), maker_link(world), provisioning_entry(world)]
    others += [entry for entry, _ in payloads.entries()]
    for entry in (*entries, *others):
        kind = decode_post(entry).statement.kind
        if kind not in seen:
            seen.add(kind)
            first.append(entry)
    single = next(entry for entry in first if entry[:1] == b"\xd2")
    several = next(entry for entry in first if entry[:2] == b"\xd8\x62")
    bad = [
        *((f"alone: {name}", _damage(single, place, new)) for name, place, new in ALONE),
        *((f"together: {name}", _damage(several, place, new)) for name, place, new in TOGETHER),
        ("tag 98 around four parts of tag 18", b"\xd8\x62" + single[1:]),
        ("no tag", single[1:]),
        ("a byte after it", single + b"\0"),
    ]
    return {
        "about": "Posts, the bytes that each signature covers (Sig_structure) with its key; posts"
        " that are malformed; signatures that do not hold; payloads that are no device's record.",
        "spec": "docs/spec/posts.md",
        "posts": [_describe(entry) for entry in first],
        "payloads": payloads.cases(),
        "malformed": [
            {"name": name, "hex": data.hex(), "reason": "malformed"} for name, data in bad
        ],
        "bad_signatures": [
            {
                "name": name,
                "hex": data.hex(),
                "reason": "bad-signature",
                "keys": _describe(entry)["keys"],
            }
            for name, entry, data in (
                ("a bit of the payload", single, changed(single, (2, 1), 99)),
                ("a bit of a signature", single, flipped(single)),
                ("another audience", single, changed(single, (0, 15, 3), "board.example/2")),
                (
                    "another kind",
                    several,
                    changed(several, (0, 3), "application/vnd.fieldpost.class.set+cbor"),
                ),
            )
        ],
    }


def _damage(entry: bytes, place: Place, new: object) -> bytes:
    if isinstance(new, str) and place == (3,):
        item = cbor.decode(entry)
        assert isinstance(item, cbor.Tag)
        assert isinstance(item.value, tuple)
        signers = item.value[3]
        assert isinstance(signers, tuple)
        new = {
            "first": signers[:1],
            "reversed": signers[::-1],
            "twice": (signers[0], *signers),
        }[new]
    return changed(entry, place, new)


def _describe(entry: bytes) -> dict[str, Any]:
    post = decode_post(entry)
    statement = post.statement
    keys = _keys()
    return {
        "name": statement.kind,
        "hex": entry.hex(),
        "kind": statement.kind,
        "iss": statement.issuer,
        "sub": statement.subject,
        "aud": statement.audience,
        "payload": statement.payload.hex(),
        "keys": [keys[signature.kid].encode().hex() for signature in post.signatures],
        "signed": [post.signed_bytes(signature).hex() for signature in post.signatures],
    }
