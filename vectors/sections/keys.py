# SPDX-License-Identifier: Apache-2.0
"""Keys, thumbprints, and signatures that the one rule accepts or refuses."""

import json
from pathlib import Path
from typing import Any

from fieldpost.keys import Algorithm, PublicKey
from fieldpost.testing.signers import DeterministicSigner
from vectors.sections.changes import changed, flipped

FIXED = Path(__file__).resolve().parent.parent / "fixed" / "mldsa44.json"
MESSAGE = b"fieldpost"
ED = DeterministicSigner(Algorithm.ED25519, "vectors/ed25519")
P256 = DeterministicSigner(Algorithm.ESP256, "vectors/p256")
ML = DeterministicSigner(Algorithm.ML_DSA_44, "vectors/mldsa44")

_L = 2**252 + 27742317777372353535851937790883648493
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P = 2**255 - 19


def fixed_mldsa_signature(name: str, message: bytes) -> bytes:
    """A signature by `ML` that was made once: ML-DSA-44 as used here never signs alike twice."""
    made = json.loads(FIXED.read_text()) if FIXED.is_file() else {}
    entry = made.get(name)
    if entry is None or entry["message"] != message.hex():
        made[name] = {"message": message.hex(), "signature": ML.sign(message).hex()}
        FIXED.parent.mkdir(exist_ok=True)
        FIXED.write_text(json.dumps(made, indent=1) + "\n")
    return bytes.fromhex(made[name]["signature"])


def _signature(
    name: str, key: PublicKey, signature: bytes, reason: str | None, message: bytes = MESSAGE
) -> dict[str, Any]:
    return {
        "name": name,
        "key": key.encode().hex(),
        "message": message.hex(),
        "signature": signature.hex(),
        "reason": reason,
    }


def _signatures() -> list[dict[str, Any]]:
    ed, p256 = ED.sign(MESSAGE), P256.sign(MESSAGE)
    ml = fixed_mldsa_signature("keys", MESSAGE)
    s = int.from_bytes(ed[32:], "little")
    high = p256[:32] + (_N - int.from_bytes(p256[32:], "big")).to_bytes(32, "big")
    bad = "bad-signature"
    ed_key, p_key, ml_key = ED.public_key, P256.public_key, ML.public_key
    low_order = PublicKey(Algorithm.ED25519, b"\x01" + bytes(31))
    cases = [
        _signature("Ed25519", ed_key, ed, None),
        _signature("P-256, low s", p_key, p256, None),
        _signature("ML-DSA-44", ml_key, ml, None),
        _signature("P-256, high s", p_key, high, bad),
        _signature("Ed25519, S + L", ed_key, ed[:32] + (s + _L).to_bytes(32, "little"), bad),
        _signature(
            "Ed25519, the identity as key, R = identity, S = 0", low_order, b"\x01" + bytes(63), bad
        ),
        _signature("P-256, r = 0", p_key, bytes(32) + p256[32:], bad),
        _signature("P-256, s = 0", p_key, p256[:32] + bytes(32), bad),
        _signature("P-256, r = n", p_key, _N.to_bytes(32, "big") + p256[32:], bad),
    ]
    for name, key, signature in (
        ("Ed25519", ed_key, ed),
        ("P-256", p_key, p256),
        ("ML-DSA-44", ml_key, ml),
    ):
        cases += [
            _signature(f"{name}, another message", key, signature, bad, b"fieldpos"),
            _signature(f"{name}, a bit of the signature", key, flipped(signature, 9), bad),
            _signature(f"{name}, a byte short", key, signature[:-1], bad),
            _signature(f"{name}, a byte long", key, signature + b"\0", bad),
        ]
    return cases


def _keys() -> list[dict[str, Any]]:
    return [
        {
            "name": signer.public_key.algorithm.name,
            "alg": int(signer.public_key.algorithm),
            "raw": signer.public_key.raw.hex(),
            "cose_key": signer.public_key.encode().hex(),
            "thumbprint": signer.public_key.thumbprint().hex(),
        }
        for signer in (ED, P256, ML)
    ]


def _bad_keys() -> list[dict[str, Any]]:
    ed, p256 = ED.public_key.encode(), P256.public_key.encode()
    cases = [
        ("Ed25519 with an alg member", changed(ed, (3,), -19)),
        ("Ed25519 with a kid member", changed(ed, (2,), b"kid")),
        ("Ed25519 of 31 bytes", changed(ed, (-2,), bytes(31))),
        ("X25519", changed(ed, (-1,), 4)),
        ("kty true instead of 1", changed(ed, (1,), True)),
        ("P-256 with a compressed y", changed(p256, (-3,), True)),
        ("P-256 without y", changed(p256, (-3,), None)),
        ("P-384", changed(p256, (-1,), 2)),
    ]
    return [{"name": name, "hex": data.hex(), "reason": "malformed"} for name, data in cases]


def _registered() -> list[dict[str, Any]]:
    def ed(number: int) -> PublicKey:
        return PublicKey(Algorithm.ED25519, number.to_bytes(32, "little"))

    y8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
    cases: list[tuple[str, PublicKey, bool]] = [
        ("Ed25519", ED.public_key, True),
        ("P-256", P256.public_key, True),
        ("Ed25519, the identity", ed(1), False),
        ("Ed25519, order 2", ed(_P - 1), False),
        ("Ed25519, order 4", ed(0), False),
        ("Ed25519, order 8", ed(y8), False),
        ("Ed25519, y = p", ed(_P), False),
        ("Ed25519, x = 0 with the sign bit", ed(1 + 2**255), False),
        ("Ed25519, y of no point", ed(2), False),
        ("P-256, no point of the curve", PublicKey(Algorithm.ESP256, b"\1" * 64), False),
        ("P-256, zero", PublicKey(Algorithm.ESP256, bytes(64)), False),
    ]
    return [
        {"name": name, "key": key.encode().hex(), "reason": None if good else "bad-key"}
        for name, key, good in cases
    ]


def make() -> dict[str, Any]:
    """The file's content."""
    return {
        "about": "COSE_Keys, their thumbprints, keys refused at registration, and signatures."
        " reason null: accepted.",
        "spec": "docs/spec/keys.md",
        "keys": _keys(),
        "bad_keys": _bad_keys(),
        "registration": _registered(),
        "signatures": _signatures(),
    }
