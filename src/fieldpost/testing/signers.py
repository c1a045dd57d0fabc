# SPDX-License-Identifier: Apache-2.0
"""Signers whose keys come from a seed in the test: the same seed gives the same key, always.

    DeterministicSigner(Algorithm.ED25519, "maker/root/1")

Keys are deterministic for every algorithm, signatures for Ed25519 (RFC 8032) and P-256
(RFC 6979). ML-DSA-44 signatures are hedged by the library and differ from run to run, so no
test may pin their bytes. A seed is no secret: never use this for anything but tests.
"""

from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from fieldpost.keys import Algorithm, PublicKey, low_s

_P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class DeterministicSigner:
    """A `fieldpost.keys.Signer` for tests. `seed` is any text or bytes; text is its UTF-8.

    One seed gives unrelated keys for different algorithms.
    """

    __slots__ = ("_private", "_public")

    def __init__(self, algorithm: Algorithm, seed: bytes | str) -> None:
        data = seed.encode() if isinstance(seed, str) else seed
        secret = sha256(b"fieldpost/testing/" + algorithm.name.encode() + b"\0" + data).digest()
        self._private: (
            ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | mldsa.MLDSA44PrivateKey
        )
        match algorithm:
            case Algorithm.ED25519:
                ed = ed25519.Ed25519PrivateKey.from_private_bytes(secret)
                self._private, raw = ed, ed.public_key().public_bytes_raw()
            case Algorithm.ESP256:
                scalar = int.from_bytes(secret, "big") % (_P256_N - 1) + 1
                p256 = ec.derive_private_key(scalar, ec.SECP256R1())
                point = p256.public_key().public_numbers()
                self._private = p256
                raw = point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
            case Algorithm.ML_DSA_44:
                ml = mldsa.MLDSA44PrivateKey.from_seed_bytes(secret)
                self._private, raw = ml, ml.public_key().public_bytes_raw()
        self._public = PublicKey(algorithm, raw)

    @property
    def public_key(self) -> PublicKey:
        """The key whose signatures `sign` makes."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """A signature that `fieldpost.keys.verify_signature` accepts (P-256: raw r‖s, low s)."""
        match self._private:
            case ec.EllipticCurvePrivateKey():
                rule = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
                r, s = decode_dss_signature(self._private.sign(message, rule))
                return low_s(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
            case private:
                return private.sign(message)
