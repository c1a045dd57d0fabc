# SPDX-License-Identifier: Apache-2.0
"""Payloads that are no record of a device: one of every kind, and each with one place changed."""

from hashlib import sha256
from typing import Any

from fieldpost.keys import Algorithm
from fieldpost.posts.attestation import MakerAttest
from fieldpost.posts.blob import BlobGone
from fieldpost.posts.device import DeviceStatusSet
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.posts.fleet import FleetSummary, Outcomes
from fieldpost.posts.release import ReleaseFloor, ReleaseSign, ReleaseWithdraw
from fieldpost.posts.rollout import RolloutSet
from fieldpost.records.advisory import Advisory, DocumentType, Severity
from fieldpost.records.head import Offer
from fieldpost.suit.envelope import sign_manifest
from fieldpost.testing.signers import DeterministicSigner
from vectors.sections.changes import Place, changed

MAKER, CLASS, LOT = bytes(range(16)), b"\x0c" * 16, b"\x10" * 16
BOARD = "board.example/1#" + "ab" * 16
DIGEST = sha256(b"a blob").digest()
RELEASE_KEY = DeterministicSigner(Algorithm.ED25519, "vectors/payloads/release")

PAYLOADS: dict[str, tuple[str, bytes]] = {
    "release.floor": (
        f"{CLASS.hex()}/10",
        ReleaseFloor(nonce=1, class_id=CLASS, floor=10).encode(),
    ),
    "release.sign": (
        f"{CLASS.hex()}/11",
        ReleaseSign(
            nonce=2, class_id=CLASS, sequence=11, blocks=(sign_manifest(b"\xa0", RELEASE_KEY),)
        ).encode(),
    ),
    "release.withdraw": (
        f"{CLASS.hex()}/11",
        ReleaseWithdraw(nonce=3, class_id=CLASS, sequence=11, reason="loses its clock").encode(),
    ),
    "rollout.set": (
        f"{CLASS.hex()}/stable",
        RolloutSet(
            nonce=1,
            class_id=CLASS,
            channel="stable",
            offers=(Offer(sequence=11, manifest=DIGEST, threshold=2**30),),
            interval_s=3_600,
        ).encode(),
    ),
    "advisory.publish": (
        f"{CLASS.hex()}/advisory/1",
        Advisory(
            nonce=4,
            class_id=CLASS,
            number=1,
            cves=("CVE-2026-12345",),
            affected=((1, 8), (10, 10)),
            severity=Severity.HIGH,
            exploited=False,
            document_type=DocumentType.OSV,
            document=DIGEST,
            fixed_in=11,
        ).encode(),
    ),
    "device.status": (
        LOT.hex(),
        DeviceStatusSet(nonce=1, lot=LOT, changes=((0, 1), (1_024, 2))).encode(),
    ),
    "fleet.summary": (
        CLASS.hex(),
        FleetSummary(
            nonce=2,
            class_id=CLASS,
            start=1_800_000_000,
            end=1_800_086_400,
            reports=20,
            root=DIGEST,
            outcomes={11: Outcomes(18, 1, 1)},
        ).encode(),
    ),
    "maker.attest": (
        MAKER.hex(),
        MakerAttest(nonce=1, maker=MAKER, epoch=0, domain="acme.example").encode(),
    ),
    "blob.gone": (DIGEST.hex(), BlobGone(nonce=2, digest=DIGEST, reason="end of support").encode()),
}
OPERATORS = {"maker.attest", "blob.gone"}

_BAD: list[tuple[str, str, Place, object]] = [
    ("release.floor", "floor 0", (3,), 0),
    ("release.sign", "no blocks", (4,), []),
    ("release.sign", "algorithm true", (4, 0, 1), True),
    ("release.sign", "a signature of 63 bytes", (4, 0, 2), bytes(63)),
    ("release.withdraw", "no reason", (4,), ""),
    ("rollout.set", "a salt", (4, 0, 4), bytes(8)),
    ("rollout.set", "an advisory label of an offer", (4, 0, -1), 1),
    ("advisory.publish", "a CVE id in small letters", (4, 0), "cve-2026-12345"),
    ("advisory.publish", "ranges that overlap", (5,), [[1, 8], [8, 10]]),
    ("advisory.publish", "fixed in an affected release", (6,), 10),
    ("advisory.publish", "exploited 0", (8,), 0),
    ("device.status", "indices the wrong way round", (3,), [[2, 1], [1, 1]]),
    ("device.status", "a device twice", (3,), [[1, 1], [1, 2]]),
    ("device.status", "status 4", (3, 0, 1), 4),
    ("fleet.summary", "a period that ends where it begins", (3,), [5, 5]),
    ("fleet.summary", "no outcomes, and yet the label", (6,), {}),
    ("maker.attest", "a domain of one label", (4,), "localhost"),
    ("maker.attest", "a domain in capitals", (4,), "Acme.example"),
    ("blob.gone", "a digest of 31 bytes", (2,), bytes(31)),
]


def entries() -> list[tuple[bytes, DeterministicSigner]]:
    """A post of each kind, by one key; whether a ledger would take it is not the question."""
    made = []
    for kind, (subject, payload) in PAYLOADS.items():
        statement = Statement(
            kind=kind,
            issuer="operator0" if kind in OPERATORS else MAKER.hex(),
            subject=subject,
            audience=BOARD,
            payload=payload,
        )
        signer = DeterministicSigner(Algorithm.ED25519, f"vectors/payloads/{kind}")
        made.append((sign_post(statement, [signer]).encode(), signer))
    return made


def cases() -> list[Any]:
    """Payloads as they are and changed, with what the ledger says."""
    made: list[Any] = []
    for kind, (_, payload) in PAYLOADS.items():
        bad = [(name, place, new) for of, name, place, new in _BAD if of == kind]
        bad += [
            ("nonce 0", (1,), 0),
            ("nonce true", (1,), True),
            ("a critical label more", (99,), 1),
            ("an advisory label more", (-1,), 1),
        ]
        made.append({"kind": kind, "name": kind, "hex": payload.hex(), "reason": None})
        made += [
            {
                "kind": kind,
                "name": f"{kind}: {name}",
                "hex": changed(payload, place, new).hex(),
                "reason": "malformed",
            }
            for name, place, new in bad
        ]
    return made
