# SPDX-License-Identifier: Apache-2.0
"""Keys: one encoding, one name, one signature rule; and what registration refuses."""

from hashlib import sha256

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor, keys
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import (
    Algorithm,
    PublicKey,
    check_key,
    decode_key,
    low_s,
    parse_cose_key,
    verify_signature,
)
from fieldpost.testing.signers import DeterministicSigner
from tests import edwards

every_algorithm = pytest.mark.parametrize("algorithm", Algorithm, ids=lambda a: a.name)

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def signer(algorithm: Algorithm) -> DeterministicSigner:
    return DeterministicSigner(algorithm, "test_keys")


def test_the_thumbprint_is_that_of_rfc_9679() -> None:
    """RFC 9679 §6: members beyond the required ones, such as its kid, do not count."""
    x = bytes.fromhex("65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d")
    y = bytes.fromhex("1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c")
    key = PublicKey(Algorithm.ESP256, x + y)
    check_key(key)
    assert key.thumbprint().hex() == (
        "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"
    )


@every_algorithm
def test_a_key_has_one_encoding_whose_hash_is_its_name(algorithm: Algorithm) -> None:
    key = signer(algorithm).public_key
    assert decode_key(key.encode()) == key
    assert parse_cose_key(key.cose_key()) == key
    assert key.encode() == cbor.encode(key.cose_key())
    assert key.thumbprint() == sha256(key.encode()).digest()
    check_key(key)


def test_the_encodings_are_the_stated_maps() -> None:
    ed, p256, ml = (signer(algorithm).public_key for algorithm in Algorithm)
    assert [key.algorithm for key in (ed, p256, ml)] == [-19, -9, -48]
    assert ed.encode() == bytes.fromhex("a3010120062158") + b"\x20" + ed.raw
    halves = (p256.raw[:32], p256.raw[32:])
    assert p256.encode() == (
        bytes.fromhex("a40102200121") + b"\x58\x20" + halves[0] + b"\x22\x58\x20" + halves[1]
    )
    assert ml.encode() == bytes.fromhex("a3010703382f20590520") + ml.raw


REFUSED_KEYS: dict[str, object] = {
    "no map": b"",
    "a list": [(1, 1)],
    "an empty map": {},
    "a member too many": {1: 1, -1: 6, -2: bytes(32), 2: b"kid"},
    "a member too few": {1: 1, -2: bytes(32)},
    "another curve (X25519)": {1: 1, -1: 4, -2: bytes(32)},
    "another curve (P-384)": {1: 2, -1: 2, -2: bytes(48), -3: bytes(48)},
    "a short x": {1: 1, -1: 6, -2: bytes(31)},
    "a long y": {1: 2, -1: 1, -2: bytes(32), -3: bytes(33)},
    "a compressed point": {1: 2, -1: 1, -2: bytes(32), -3: True},
    "x as text": {1: 1, -1: 6, -2: "x" * 32},
    "a short ML-DSA key": {1: 7, 3: -48, -1: bytes(1311)},
    "ML-DSA-65": {1: 7, 3: -49, -1: bytes(1952)},
    "ML-DSA without its algorithm": {1: 7, -1: bytes(1312)},
    "true for 1 in an Ed25519 key": {1: True, -1: 6, -2: bytes(32)},
    "true for 1 in a P-256 key": {1: 2, -1: True, -2: bytes(32), -3: bytes(32)},
}


@pytest.mark.parametrize("case", REFUSED_KEYS)
def test_a_cose_key_of_another_form_is_malformed(case: str) -> None:
    """Python takes true for 1 in a match; a device in C would not, and boards would part."""
    with pytest.raises(Malformed):
        parse_cose_key(REFUSED_KEYS[case])
    with pytest.raises(Malformed):
        decode_key(cbor.encode(REFUSED_KEYS[case]))


@every_algorithm
@pytest.mark.parametrize("step", [-1, 1])
def test_a_key_of_another_length_is_malformed(algorithm: Algorithm, step: int) -> None:
    with pytest.raises(Malformed):
        PublicKey(algorithm, bytes(keys.PUBLIC_KEY_BYTES[algorithm] + step))


@every_algorithm
def test_a_signature_is_valid_for_its_message_key_and_bytes_alone(algorithm: Algorithm) -> None:
    key = signer(algorithm).public_key
    signature = signer(algorithm).sign(b"message")
    verify_signature(key, b"message", signature)
    other = DeterministicSigner(algorithm, "another key").public_key
    wrong = [
        (key, b"massage", signature),
        (other, b"message", signature),
        (key, b"message", signature[:-1]),
        (key, b"message", signature + b"\0"),
        (key, b"message", b""),
        (key, b"message", bytes(len(signature))),
        *((key, b"message", changed_bit(signature, bit)) for bit in range(0, 512, 37)),
    ]
    for wrong_key, message, bad in wrong:
        with pytest.raises(Untrusted) as caught:
            verify_signature(wrong_key, message, bad)
        assert caught.value.reason == "bad-signature"


def changed_bit(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.ML_DSA_44])
def test_a_key_that_is_no_point_fails_as_a_bad_signature(algorithm: Algorithm) -> None:
    """Untrusted, not a library's own error: keys in records come from outside."""
    key = PublicKey(algorithm, b"\x02" + bytes(keys.PUBLIC_KEY_BYTES[algorithm] - 1))
    with pytest.raises(Untrusted, match="bad-signature"):
        verify_signature(key, b"message", signer(algorithm).sign(b"message"))


def test_ed25519_s_must_be_below_the_group_order() -> None:
    """The same signature with S + L passes the equation; taken, it would have two encodings."""
    key = signer(Algorithm.ED25519).public_key
    signature = signer(Algorithm.ED25519).sign(b"message")
    s = int.from_bytes(signature[32:], "little")
    twin = signature[:32] + (s + L).to_bytes(32, "little")
    with pytest.raises(Untrusted, match="bad-signature"):
        verify_signature(key, b"message", twin)


def low_order_keys() -> list[bytes]:
    """All eight points of low order, those with x = 0 with both signs."""
    found = [edwards.compress(point) for point in edwards.low_order_points()]
    zero_x = [changed_bit(edwards.compress((0, y)), 255) for y in (1, P - 1)]
    return found + zero_x


def test_no_key_of_low_order_verifies_anything() -> None:
    """With A of low order one signature fits many messages; OpenSSL accepts them (control)."""
    points = low_order_keys()
    assert len(points) == 10
    identity_r = b"\x01" + bytes(31)
    accepted_by_the_library = 0
    for raw in points:
        key = PublicKey(Algorithm.ED25519, raw)
        with pytest.raises(Malformed):
            check_key(key)
        for number in range(16):
            message = bytes((number,))
            forged = identity_r + bytes(32)
            try:
                Ed25519PublicKey.from_public_bytes(raw).verify(forged, message)
                accepted_by_the_library += 1
            except InvalidSignature:
                pass
            with pytest.raises(Untrusted, match="bad-signature"):
                verify_signature(key, message, forged)
    assert accepted_by_the_library > 16


@pytest.mark.parametrize("y", [P, P + 1, P + 3, 2**255 - 1])
def test_an_ed25519_key_that_is_not_canonical_is_refused(y: int) -> None:
    key = PublicKey(Algorithm.ED25519, y.to_bytes(32, "little"))
    with pytest.raises(Malformed):
        check_key(key)
    with pytest.raises(Untrusted, match="bad-signature"):
        verify_signature(key, b"message", bytes(64))


def test_registration_refuses_ed25519_keys_outside_the_prime_order_group() -> None:
    """A mixed-order key passes the signature rule: checking it each time would be too dear."""
    honest = edwards.decompress(signer(Algorithm.ED25519).public_key.raw)
    assert honest is not None
    for low in edwards.low_order_points():
        mixed = PublicKey(Algorithm.ED25519, edwards.compress(edwards.add(honest, low)))
        if low == edwards.IDENTITY:
            check_key(mixed)
        else:
            with pytest.raises(Malformed, match="prime-order"):
                check_key(mixed)


def is_registered(raw: bytes) -> bool:
    try:
        check_key(PublicKey(Algorithm.ED25519, raw))
    except Malformed:
        return False
    return True


honest_keys = st.integers(1, 2**64).map(
    lambda seed: DeterministicSigner(Algorithm.ED25519, f"{seed}").public_key.raw
)


@given(
    st.binary(min_size=32, max_size=32)
    | st.integers(0, 2**64).map(lambda y: y.to_bytes(32, "little"))
    | st.integers(1, 64).map(lambda back: (2**256 - back).to_bytes(32, "little"))
    | honest_keys
    | st.builds(changed_bit, honest_keys, st.integers(0, 255))
    | st.builds(
        lambda raw, low: edwards.compress(edwards.add(edwards.decompress(raw) or (0, 1), low)),
        honest_keys,
        st.sampled_from(edwards.low_order_points()),
    )
)
def test_registration_takes_exactly_the_keys_of_the_prime_order_group(raw: bytes) -> None:
    """Random bytes (half of them on the curve, one of eight there good), small, not canonical."""
    assert is_registered(raw) is edwards.is_good_key(raw)


def test_registration_refuses_what_is_on_no_curve() -> None:
    off_curve = next(
        raw
        for raw in (bytes((y,)) + bytes(31) for y in range(2, 99))
        if not edwards.decompress(raw)
    )
    for key in (
        PublicKey(Algorithm.ED25519, off_curve),
        PublicKey(Algorithm.ESP256, bytes(64)),
        PublicKey(Algorithm.ESP256, b"\xff" * 64),
        PublicKey(Algorithm.ESP256, bytes(63) + b"\x01"),
    ):
        with pytest.raises(Malformed):
            check_key(key)


def test_a_p256_signature_has_no_twin() -> None:
    """(r, n - s) passes the equation too: high s is refused, and `low_s` mends a signer's."""
    key = signer(Algorithm.ESP256).public_key
    signature = signer(Algorithm.ESP256).sign(b"message")
    s = int.from_bytes(signature[32:], "big")
    twin = signature[:32] + (P256_N - s).to_bytes(32, "big")
    with pytest.raises(Untrusted, match="bad-signature"):
        verify_signature(key, b"message", twin)
    assert low_s(twin) == low_s(signature) == signature


@pytest.mark.parametrize("half", [0, P256_N, 2**256 - 1])
def test_p256_halves_are_within_the_group_order(half: int) -> None:
    key = signer(Algorithm.ESP256).public_key
    signature = signer(Algorithm.ESP256).sign(b"message")
    wrong = half.to_bytes(32, "big")
    for bad in (wrong + signature[32:], signature[:32] + wrong):
        with pytest.raises(Untrusted, match="bad-signature"):
            verify_signature(key, b"message", bad)
