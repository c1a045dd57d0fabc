# SPDX-License-Identifier: Apache-2.0
"""Wycheproof's signature vectors: our verdict is theirs, but for the refusals that are named."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm, PublicKey, verify_signature

HALF_P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2

# Valid in plain ECDSA, refused by the rule of low s. Any signer can send the other half instead.
HIGH_S = {
    *(64, 66, 67, 68, 71, 77, 78, 80, 81, 85, 86, 87, 94, 95, 96, 100, 102, 104, 105, 107, 110),
    *(111, 114, 115, 117, 118, 138, 139, 140, 141, 142, 171, 172, 175, 176, 177, 180, 183, 189),
    *(190, 191, 192, 195, 196, 197, 199, 200, 204, 210, 211, 216, 217, 226, 227, 229, 233, 234),
    *(237, 240, 242, 243, 244, 246, 248, 249, 250, 252, 253, 257, 262),
}
# Valid ML-DSA signatures under a context string: ours is always empty (FIPS 204 §5.2).
WITH_CONTEXT = {3, 4}

Case = tuple[dict[str, Any], dict[str, Any]]


def cases(folder: Path, name: str, count: int) -> Iterator[Case]:
    data = json.loads((folder / "wycheproof" / name).read_text())
    found = [(group, test) for group in data["testGroups"] for test in group["tests"]]
    assert len(found) == data["numberOfTests"] == count
    yield from found


def is_accepted(algorithm: Algorithm, raw: str, test: dict[str, Any]) -> bool:
    try:
        key = PublicKey(algorithm, bytes.fromhex(raw))
        verify_signature(key, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
    except (Malformed, Untrusted):
        return False
    return True


def disagreements(algorithm: Algorithm, found: Iterator[tuple[str, dict[str, Any]]]) -> set[int]:
    return {
        test["tcId"]
        for raw, test in found
        if is_accepted(algorithm, raw, test) != (test["result"] == "valid")
    }


def test_ed25519_verdicts_are_all_theirs(shared_vectors: Path) -> None:
    found = cases(shared_vectors, "ed25519_test.json", 151)
    keyed = ((group["publicKey"]["pk"], test) for group, test in found)
    assert disagreements(Algorithm.ED25519, keyed) == set()


def test_p256_verdicts_are_theirs_except_for_high_s(shared_vectors: Path) -> None:
    found = list(cases(shared_vectors, "ecdsa_secp256r1_sha256_p1363_test.json", 262))
    keyed = ((group["publicKey"]["uncompressed"][2:], test) for group, test in found)
    assert disagreements(Algorithm.ESP256, keyed) == HIGH_S
    assert len(HIGH_S) == 70
    high = {
        test["tcId"]
        for _, test in found
        if test["result"] == "valid" and int(test["sig"][64:], 16) > HALF_P256_N
    }
    assert high == HIGH_S, "the named cases are those of high s, and all of them"


def test_ml_dsa_verdicts_are_theirs_except_under_a_context(shared_vectors: Path) -> None:
    found = list(cases(shared_vectors, "mldsa_44_verify_test.json", 180))
    keyed = ((group["publicKey"], test) for group, test in found)
    assert disagreements(Algorithm.ML_DSA_44, keyed) == WITH_CONTEXT
    contexts = {test["tcId"] for _, test in found if test.get("ctx")}
    assert contexts >= WITH_CONTEXT
