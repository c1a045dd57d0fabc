# SPDX-License-Identifier: Apache-2.0
"""Devices: leaves, ids, enrolment, proofs of a unit, lots, status pages, reports."""

from dataclasses import replace
from typing import Any

from fieldpost.identity.challenge import sign_challenge
from fieldpost.identity.enrolment import encode_request
from fieldpost.identity.leaf import DeviceLeaf, device_id, format_device_id, salted_serial, ueid
from fieldpost.identity.lot import LotTree
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, ReportedComponent, sign_report
from fieldpost.identity.status import DeviceStatus, change_statuses
from fieldpost.keys import Algorithm
from fieldpost.records.identifiers import lot_id
from fieldpost.testing.signers import DeterministicSigner
from vectors.sections.changes import DROP, Place, changed, flipped

MAKER, CLASS = bytes(range(16)), bytes(range(16, 32))
BOARD = "board.example/1#" + "ab" * 16
ED = DeterministicSigner(Algorithm.ED25519, "vectors/device/0")
P256 = DeterministicSigner(Algorithm.ESP256, "vectors/device/1")
SALT = b"0123456789abcdef"


def _leaves() -> list[DeviceLeaf]:
    keys = [ED.public_key, P256.public_key] + [
        DeterministicSigner(Algorithm.ED25519, f"vectors/device/{n}").public_key
        for n in range(2, 7)
    ]
    return [
        DeviceLeaf(salted_serial("SN-1", SALT) if n == 1 else f"SN-{n}", key, CLASS)
        for n, key in enumerate(keys)
    ]


def _report() -> Report:
    return Report(
        board=BOARD,
        device=device_id(ED.public_key),
        boot_count=7,
        counter=2,
        components=(ReportedComponent(0, 11, b"\x11" * 32),),
        outcome=Outcome.CONFIRMED,
        head=(16, b"\x22" * 32, 1_800_000_000),
    )


def _lots() -> dict[str, Any]:
    leaves = _leaves()
    tree = LotTree.build([leaf.encode() for leaf in leaves])
    identity = lot_id(maker=MAKER, class_=CLASS, count=tree.count, root=tree.root)
    members: list[dict[str, Any]] = []
    for index, leaf in enumerate(leaves):
        path = [item.hex() for item in tree.path(index)]
        members.append(
            {
                "name": f"device {index}",
                "leaf": leaf.encode().hex(),
                "index": index,
                "path": path,
                "reason": None,
            }
        )
    first = members[0]
    other = leaves[0].encode()
    members += [
        first
        | {
            "name": "another serial",
            "leaf": changed(other, (0,), "SN-9").hex(),
            "reason": "bad-proof",
        },
        first | {"name": "another place", "index": 1, "reason": "bad-proof"},
        first | {"name": "outside the lot", "index": 7, "reason": "malformed"},
        first
        | {
            "name": "a hash too few",
            "path": members[0]["path"][:-1],
            "reason": "malformed",
        },
    ]
    return {
        "lot": identity.hex(),
        "maker": MAKER.hex(),
        "class": CLASS.hex(),
        "count": tree.count,
        "root": tree.root.hex(),
        "members": members,
    }


def _devices() -> list[Any]:
    return [
        {
            "serial": leaf.serial if isinstance(leaf.serial, str) else leaf.serial.hex(),
            "leaf": leaf.encode().hex(),
            "device": leaf.device.hex(),
            "shown": format_device_id(leaf.device),
            "ueid": ueid(leaf.device).hex(),
        }
        for leaf in _leaves()[:2]
    ]


def _enrolments() -> list[Any]:
    leaves = _leaves()
    good = encode_request(leaves[0], ED)
    cases: list[tuple[str, bytes, str | None]] = [
        ("Ed25519", good, None),
        ("P-256", encode_request(leaves[1], P256), None),
        ("a bit of the signature", flipped(good), "bad-signature"),
        ("another serial", changed(good, (2, 0), "SN-9"), "bad-signature"),
        ("a kid that is not the leaf's key", changed(good, (0, 4), bytes(32)), "bad-signature"),
        ("an unprotected header", changed(good, (1,), {4: b""}), "malformed"),
        ("no tag", good[1:], "malformed"),
    ]
    return [{"name": name, "hex": data.hex(), "reason": reason} for name, data, reason in cases]


def _proofs() -> list[Any]:
    challenge = bytes(range(32))
    good = sign_challenge(challenge, board=BOARD, signer=ED)
    other = sign_challenge(challenge[::-1], board=BOARD, signer=ED)
    elsewhere = sign_challenge(challenge, board="board.example/2#" + "ab" * 16, signer=ED)
    purpose = changed(good, (2, 0), "fieldpost/other")
    cases: list[tuple[str, bytes, str | None]] = [
        ("Ed25519", good, None),
        ("another device's", sign_challenge(challenge, board=BOARD, signer=P256), "wrong-device"),
        ("of another challenge", other, "wrong-challenge"),
        ("of another board", elsewhere, "wrong-challenge"),
        ("of another purpose", purpose, "wrong-challenge"),
        ("another content type", changed(good, (0, 3), "text/plain"), "wrong-device"),
        ("another challenge put in its place", flipped(good, -70), "wrong-challenge"),
        ("a bit of the signature", flipped(good), "bad-signature"),
        ("an unprotected header", changed(good, (1,), {4: b""}), "malformed"),
        ("an enrolment request", encode_request(_leaves()[0], ED), "wrong-device"),
        ("1,025 bytes", good + bytes(1_025 - len(good)), "malformed"),
    ]
    made: list[Any] = [
        {
            "name": name,
            "hex": data.hex(),
            "key": ED.public_key.encode().hex(),
            "board": BOARD,
            "challenge": challenge.hex(),
            "reason": reason,
        }
        for name, data, reason in cases
    ]
    for length, reason in ((15, "malformed"), (16, None), (64, None), (65, "malformed")):
        asked = bytes(length)
        answered = asked if reason is None else bytes(16)
        made.append(
            {
                "name": f"a challenge of {length} bytes",
                "hex": sign_challenge(answered, board=BOARD, signer=P256).hex(),
                "key": P256.public_key.encode().hex(),
                "board": BOARD,
                "challenge": asked.hex(),
                "reason": reason,
            }
        )
    return made


def _statuses() -> list[Any]:
    page = change_statuses(
        None,
        [
            (0, DeviceStatus.REVOKED),
            (1, DeviceStatus.SUSPENDED),
            (5, DeviceStatus.DECOMMISSIONED),
            (1_023, DeviceStatus.REVOKED),
        ],
        number=0,
    )
    return [
        {"page": page.hex(), "index": index, "status": int(status)}
        for index, status in (
            (0, DeviceStatus.REVOKED),
            (1, DeviceStatus.SUSPENDED),
            (2, DeviceStatus.VALID),
            (5, DeviceStatus.DECOMMISSIONED),
            (1_023, DeviceStatus.REVOKED),
        )
    ] + [{"page": None, "index": 7, "status": 0}]


def _reports() -> list[Any]:
    report = _report()
    good = sign_report(report, ED)
    key = ED.public_key.encode().hex()
    bad: list[tuple[str, Place, object, str]] = [
        ("an unprotected header", (1,), {4: b""}, "malformed"),
        ("no type", (0, 16), DROP, "malformed"),
        ("algorithm ML-DSA-44", (0, 1), -48, "malformed"),
        ("another device's kid", (0, 4), bytes(32), "wrong-device"),
        ("another boot count", (2, 267), 8, "bad-signature"),
        ("another profile", (2, 265), "tag:other", "bad-signature"),
        ("a signature of 63 bytes", (3,), bytes(63), "bad-signature"),
    ]
    postponed = replace(report, outcome=Outcome.POSTPONED, reason="no power", head=None, counter=3)
    return [
        {"name": "confirmed", "hex": good.hex(), "key": key, "board": BOARD, "reason": None},
        {
            "name": "postponed, with a reason, without a head",
            "key": key,
            "board": BOARD,
            "hex": sign_report(postponed, ED).hex(),
            "reason": None,
        },
        {
            "name": "another board",
            "hex": good.hex(),
            "key": key,
            "board": "board.example/2#" + "ab" * 16,
            "reason": "wrong-board",
        },
        {
            "name": "another device's key",
            "hex": good.hex(),
            "board": BOARD,
            "key": P256.public_key.encode().hex(),
            "reason": "wrong-device",
        },
        *(
            {
                "name": name,
                "hex": changed(good, place, new).hex(),
                "key": key,
                "board": BOARD,
                "reason": reason,
            }
            for name, place, new, reason in bad
        ),
    ]


def make() -> dict[str, Any]:
    """The file's content."""
    return {
        "about": "Device leaves and ids, enrolment requests, proofs of a unit, a lot with"
        " memberships, status pages, reports. Serial 1 is salted with the ASCII bytes"
        " 0123456789abcdef.",
        "spec": "docs/spec/identity.md",
        "devices": _devices(),
        "enrolments": _enrolments(),
        "proofs": _proofs(),
        "lot": _lots(),
        "statuses": _statuses(),
        "reports": _reports(),
    }
