# SPDX-License-Identifier: Apache-2.0
"""A second library that may only say yes changes no verdict, and is not asked where it might."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engines.quick_yes import (
    VALID,
    VALID_WITH_COFACTOR,
    Accepts,
    agrees,
    find_quick_yes,
)
from fieldpost.engines.verifier import is_valid
from fieldpost.errors import Untrusted
from fieldpost.keys import Algorithm, PublicKey, verify_signature
from fieldpost.testing.signers import DeterministicSigner

L = 2**252 + 27742317777372353535851937790883648493
# y of every point of low order, and encodings of them that are not canonical.
ODD_POINTS = [
    number.to_bytes(32, "little")
    for y in (0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18)
    for number in (y, y | 1 << 255)
]
SIGNER = DeterministicSigner(Algorithm.ED25519, "quick yes")


@pytest.fixture(scope="module")
def quick_yes() -> Accepts:
    found = find_quick_yes()
    assert found is not None, "the libsodium of this environment is not the one that is known"
    return found


def test_what_is_valid_is_accepted_at_once(quick_yes: Accepts) -> None:
    assert quick_yes(SIGNER.public_key.raw, b"message", SIGNER.sign(b"message"))


def test_a_valid_signature_that_it_accepts_is_not_verified_again() -> None:
    """The control of the laws below: a yes that lies is believed, so it must never be given."""
    wrong = SIGNER.public_key, b"another message", SIGNER.sign(b"message")
    assert is_valid(wrong, lambda *_: True)
    assert not is_valid(wrong)


@pytest.mark.parametrize("case", VALID_WITH_COFACTOR, ids=lambda case: case[1].decode())
def test_examples_hold_with_the_cofactor_only(case: tuple[str, bytes, str, str]) -> None:
    key, message, r, s = case
    check = PublicKey(Algorithm.ED25519, bytes.fromhex(key)), message, bytes.fromhex(r + s)
    with pytest.raises(Untrusted):
        verify_signature(*check)


@pytest.mark.parametrize("case", VALID_WITH_COFACTOR, ids=lambda case: case[1].decode())
def test_the_library_does_not_accept_them(
    case: tuple[str, bytes, str, str], quick_yes: Accepts
) -> None:
    key, message, r, s = case
    assert not quick_yes(bytes.fromhex(key), message, bytes.fromhex(r + s))


def test_the_valid_example_is_valid() -> None:
    ((key, message, r, s),) = VALID
    check = PublicKey(Algorithm.ED25519, bytes.fromhex(key)), message, bytes.fromhex(r + s)
    verify_signature(*check)


LIARS: dict[str, Accepts] = {
    "it accepts everything": lambda *_: True,
    "it accepts nothing": lambda *_: False,
    "it is right but for R of mixed order": lambda key, message, signature: b"A " not in message,
    "it is right but for A of mixed order": lambda key, message, signature: b"R " not in message,
}


@pytest.mark.parametrize("liar", LIARS)
def test_a_library_that_parts_from_the_rule_is_not_asked(liar: str) -> None:
    assert not agrees(LIARS[liar])


def test_without_the_library_there_is_no_quick_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nacl.bindings", None)
    assert find_quick_yes() is None


def changed(signature: bytes, bit: int) -> bytes:
    number = int.from_bytes(signature, "big") ^ 1 << bit
    return number.to_bytes(64, "big")


@given(message=st.binary(max_size=200), damage=st.integers(-200, 511), odd=st.integers(0, 99))
def test_no_verdict_changes_by_asking_it_first(message: bytes, damage: int, odd: int) -> None:
    """Signatures that are right, damaged, longer than L, or by odd keys and with odd points."""
    quick = find_quick_yes()
    assert quick is not None
    signature = SIGNER.sign(message)
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    raw = SIGNER.public_key.raw
    if damage >= 0:
        signature = changed(signature, damage)
    elif odd < len(ODD_POINTS):
        signature = ODD_POINTS[odd] + (s if damage % 2 else 0).to_bytes(32, "little")
    elif odd < 2 * len(ODD_POINTS):
        raw = ODD_POINTS[odd - len(ODD_POINTS)]
    elif odd < 30:
        signature = r + (s + L).to_bytes(32, "little")
    check = PublicKey(Algorithm.ED25519, raw), message, signature
    assert is_valid(check, quick) == is_valid(check)


def test_no_verdict_changes_where_libraries_are_known_to_part(
    shared_vectors: Path, quick_yes: Accepts
) -> None:
    """The twelve cases of ed25519-speccheck, through our rule with it and without it."""
    cases = json.loads((shared_vectors / "ed25519-speccheck" / "cases.json").read_text())
    for case in cases:
        key = PublicKey(Algorithm.ED25519, bytes.fromhex(case["pub_key"]))
        check = key, bytes.fromhex(case["message"]), bytes.fromhex(case["signature"])
        assert is_valid(check, quick_yes) == is_valid(check)
    assert len(cases) == 12
