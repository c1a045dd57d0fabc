# SPDX-License-Identifier: Apache-2.0
"""Signers in memory: what they sign verifies, and what they know does not leak."""

import copy
import pickle

import pytest

from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm, Signer, check_key, verify_signature
from fieldpost.signers.software import SoftwareSigner

P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

every_algorithm = pytest.mark.parametrize("algorithm", Algorithm, ids=lambda a: a.name)


@every_algorithm
def test_a_signature_verifies_under_the_one_rule(algorithm: Algorithm) -> None:
    signer: Signer = SoftwareSigner.generate(algorithm)
    check_key(signer.public_key)
    signature = signer.sign(b"message")
    verify_signature(signer.public_key, b"message", signature)
    with pytest.raises(Untrusted):
        verify_signature(signer.public_key, b"another message", signature)


@every_algorithm
def test_generated_keys_differ(algorithm: Algorithm) -> None:
    keys = {SoftwareSigner.generate(algorithm).public_key for _ in range(3)}
    assert len(keys) == 3


def test_every_p256_signature_has_low_s() -> None:
    """An unnormalised library gives high s about half the time: 40 in a row are no accident."""
    signer = SoftwareSigner.generate(Algorithm.ESP256)
    for number in range(40):
        s = int.from_bytes(signer.sign(bytes((number,)))[32:], "big")
        assert 0 < s <= P256_N // 2


@every_algorithm
def test_the_same_private_bytes_give_the_same_key(algorithm: Algorithm) -> None:
    first = SoftwareSigner.from_private_bytes(algorithm, b"\x07" * 32)
    second = SoftwareSigner.from_private_bytes(algorithm, b"\x07" * 32)
    verify_signature(first.public_key, b"message", second.sign(b"message"))


def test_ed25519_private_bytes_are_the_seed_of_rfc_8032() -> None:
    """RFC 8032 §7.1, test 1."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    signer = SoftwareSigner.from_private_bytes(Algorithm.ED25519, seed)
    assert signer.public_key.raw.hex() == (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert signer.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


@every_algorithm
@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_private_bytes_of_another_length_are_malformed(algorithm: Algorithm, length: int) -> None:
    with pytest.raises(Malformed):
        SoftwareSigner.from_private_bytes(algorithm, bytes(length))


@pytest.mark.parametrize("scalar", [0, P256_N, 2**256 - 1])
def test_a_p256_scalar_outside_its_range_is_malformed(scalar: int) -> None:
    with pytest.raises(Malformed):
        SoftwareSigner.from_private_bytes(Algorithm.ESP256, scalar.to_bytes(32, "big"))


@every_algorithm
def test_pkcs8_round_trips(algorithm: Algorithm) -> None:
    signer = SoftwareSigner.generate(algorithm)
    again = SoftwareSigner.from_pkcs8(signer.to_pkcs8())
    assert again.public_key == signer.public_key


def test_pkcs8_of_other_kinds_is_malformed() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, x25519
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    for private in (ec.generate_private_key(ec.SECP384R1()), x25519.X25519PrivateKey.generate()):
        der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        with pytest.raises(Malformed, match="no admitted kind"):
            SoftwareSigner.from_pkcs8(der)
    with pytest.raises(Malformed):
        SoftwareSigner.from_pkcs8(b"no key")


@every_algorithm
def test_the_secret_never_shows(algorithm: Algorithm) -> None:
    secret = b"\x07" * 31 + b"\x5a"
    signer = SoftwareSigner.from_private_bytes(algorithm, secret)
    for text in (repr(signer), str(signer), f"{signer!s:.500}"):
        assert secret.hex() not in text
        assert signer.public_key.thumbprint().hex() in text
    with pytest.raises(TypeError, match="not copied or pickled"):
        pickle.dumps(signer)
    with pytest.raises(TypeError, match="not copied or pickled"):
        copy.copy(signer)
