# SPDX-License-Identifier: Apache-2.0
"""Release manifests: envelopes that a device installs, and those that it refuses, with why."""

from hashlib import sha256
from typing import Any

from fieldpost.keys import Algorithm
from fieldpost.records.identifiers import class_id, vendor_id
from fieldpost.suit.envelope import Envelope, manifest_digest, sign_manifest
from fieldpost.suit.manifest import Component, Manifest, encode_manifest
from fieldpost.testing.signers import DeterministicSigner
from vectors.sections.changes import changed, flipped

KEYS = [
    DeterministicSigner(algorithm, f"vectors/release/{n}")
    for n, algorithm in enumerate((Algorithm.ED25519, Algorithm.ED25519, Algorithm.ESP256))
]
STRANGER = DeterministicSigner(Algorithm.ED25519, "vectors/stranger")
MAKER = bytes(range(16))
VENDOR, CLASS = vendor_id(MAKER), class_id(MAKER, "tracker")
IMAGE = b"the image of sequence 11"


def _manifest(*parts: bytes, text: bool = False) -> bytes:
    components = tuple(
        Component((part,), sha256(IMAGE + part).digest(), len(IMAGE + part)) for part in parts
    )
    digest = sha256(b"text").digest() if text else None
    return encode_manifest(Manifest(11, VENDOR, CLASS, components, digest))


def _signed(manifest: bytes, *signers: DeterministicSigner) -> bytes:
    blocks = tuple(sign_manifest(manifest, signer) for signer in signers)
    return Envelope(manifest, blocks).encode()


def _case(
    name: str, envelope: bytes, reason: str | None, *, threshold: int = 2, most_bytes: int = 4_096
) -> dict[str, Any]:
    return {
        "name": name,
        "envelope": envelope.hex(),
        "threshold": threshold,
        "most_bytes": most_bytes,
        "reason": reason,
    }


def make() -> dict[str, Any]:
    """The file's content."""
    one = _manifest(b"image")
    good = _signed(one, *KEYS[:2])
    unsigned = _signed(one)
    mixed = _signed(one, KEYS[0], KEYS[2], STRANGER)
    resigned = {
        "version 2": changed(one, (1,), 2),
        "a dependency": changed(one, (3, 1), {}),
        "two components, one described": changed(one, (3, 2), [[b"image"], [b"radio"]]),
        "another sequence of commands": changed(one, (3, 4, 2), 24),
        "size as a byte string": changed(one, (3, 4, 9, 14), b"\x18"),
        "an invoke sequence": changed(one, (9,), b"\x80"),
        "a uri of somebody's server": changed(one, (20, 3, 21), "http://images.example/1"),
    }
    cases = [
        _case("one component, two of two", good, None),
        _case(
            "two components and a text",
            _signed(_manifest(b"a", b"b", text=True), *KEYS),
            None,
            threshold=3,
        ),
        _case("a stranger's signature is ignored", mixed, None),
        _case("no signature", unsigned, "manifest-threshold"),
        _case("one of two", _signed(one, KEYS[0]), "manifest-threshold"),
        _case("one of two and a stranger", _signed(one, KEYS[0], STRANGER), "manifest-threshold"),
        _case("one byte too large", good, "malformed", most_bytes=len(good) - 1),
        _case("as large as allowed", good, None, most_bytes=len(good)),
        _case("a bit of the last signature", flipped(good, -len(one) - 20), "bad-signature"),
        _case(
            "another manifest under the signatures",
            changed(good, (3,), _manifest(b"other")),
            "wrong-digest",
        ),
        _case("severed text comes along", changed(good, (23,), b"\xa0"), "unsupported"),
        _case("no tag", good[2:], "malformed"),
        _case("cut off", good[:-1], "malformed"),
        *(
            _case(
                name,
                _signed(manifest, *KEYS[:2]),
                "malformed" if name.startswith("size") else "unsupported",
            )
            for name, manifest in resigned.items()
        ),
    ]
    return {
        "about": "SUIT envelopes under the keys below; `threshold` of them must sign.",
        "spec": "docs/spec/release.md",
        "keys": [signer.public_key.encode().hex() for signer in KEYS],
        "maker": MAKER.hex(),
        "vendor": VENDOR.hex(),
        "class": CLASS.hex(),
        "manifest": one.hex(),
        "digest": manifest_digest(one).hex(),
        "sequence": 11,
        "cases": cases,
    }
