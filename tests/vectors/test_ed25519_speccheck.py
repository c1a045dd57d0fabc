# SPDX-License-Identifier: Apache-2.0
"""The twelve signatures on which Ed25519 libraries disagree, and our row of the table.

Our rule: S < L, canonical R and A, no A of low order, equation without cofactor. A key of mixed
order passes it and is refused once, when it is registered: so no case passes both.
"""

import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm, PublicKey, check_key, verify_signature

# accepted as a signature, accepted as a key at registration, why
ROW = [
    (False, False, "A and R of low order, S = 0: any message would do"),
    (False, False, "A of low order, R of mixed order"),
    (True, False, "A of mixed order, R of low order: the plain equation holds"),
    (True, False, "A and R of mixed order: the plain equation holds"),
    (False, False, "A and R of mixed order: holds only when multiplied by the cofactor"),
    (False, False, "as before, with another hash: holds only with the cofactor"),
    (False, True, "S >= L, an honest key: a second encoding of a valid signature"),
    (False, True, "S far above L, an honest key"),
    (False, False, "R not canonical (x = 0 with a sign), A of mixed order"),
    (False, False, "R not canonical, hashed as if reduced"),
    (False, False, "A not canonical (x = 0 with a sign) and of low order"),
    (False, False, "A not canonical, hashed as if reduced: OpenSSL takes it"),
]


@pytest.fixture(scope="module")
def cases(shared_vectors: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(
        (shared_vectors / "ed25519-speccheck" / "cases.json").read_text()
    )
    assert len(found) == len(ROW)
    return found


def is_accepted(case: dict[str, str]) -> bool:
    key = PublicKey(Algorithm.ED25519, bytes.fromhex(case["pub_key"]))
    try:
        verify_signature(key, bytes.fromhex(case["message"]), bytes.fromhex(case["signature"]))
    except Untrusted:
        return False
    return True


def is_registrable(case: dict[str, str]) -> bool:
    try:
        check_key(PublicKey(Algorithm.ED25519, bytes.fromhex(case["pub_key"])))
    except Malformed:
        return False
    return True


def is_accepted_by_the_library(case: dict[str, str]) -> bool:
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(case["pub_key"]))
    try:
        key.verify(bytes.fromhex(case["signature"]), bytes.fromhex(case["message"]))
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("number", range(12))
def test_a_case_has_the_verdict_of_our_rule(number: int, cases: list[dict[str, str]]) -> None:
    signature, key, why = ROW[number]
    assert is_accepted(cases[number]) == signature, why
    assert is_registrable(cases[number]) == key, why


def test_no_case_passes_both_registration_and_the_rule() -> None:
    assert not any(signature and key for signature, key, _ in ROW)


def test_the_library_alone_would_accept_more(
    cases: list[dict[str, str]], shared_vectors: Path
) -> None:
    """The control: without our checks three further cases pass, as the published table says."""
    published = (shared_vectors / "ed25519-speccheck" / "results.md").read_text()
    line = next(row for row in published.splitlines() if row.startswith("|PyCA"))
    expected = [cell.strip() == "V" for cell in line.split("|")[2:-1]]
    assert [is_accepted_by_the_library(case) for case in cases] == expected
    assert sum(expected) == sum(signature for signature, _, _ in ROW) + 3
