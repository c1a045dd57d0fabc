# SPDX-License-Identifier: Apache-2.0
"""A private key in this process's memory.

The secret never appears in `repr`, errors or pickles, but it is in memory: whoever reads the
process's memory has it. For keys that must not be copied use a token (docs/design).
"""

from typing import NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from fieldpost.errors import Malformed
from fieldpost.keys import Algorithm, PublicKey, low_s

_PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | mldsa.MLDSA44PrivateKey
_SECRET_BYTES = 32


class SoftwareSigner:
    """A `fieldpost.keys.Signer` over an in-memory key of any admitted algorithm."""

    __slots__ = ("_private", "_public")

    def __init__(self, private: _PrivateKey) -> None:
        self._private = private
        self._public = _public_key(private)

    @staticmethod
    def generate(algorithm: Algorithm) -> "SoftwareSigner":
        """A signer with a new key from the system's randomness."""
        match algorithm:
            case Algorithm.ED25519:
                return SoftwareSigner(ed25519.Ed25519PrivateKey.generate())
            case Algorithm.ESP256:
                return SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))
            case Algorithm.ML_DSA_44:
                return SoftwareSigner(mldsa.MLDSA44PrivateKey.generate())

    @staticmethod
    def from_private_bytes(algorithm: Algorithm, secret: bytes) -> "SoftwareSigner":
        """A signer from 32 bytes: Ed25519 or ML-DSA-44 seed, or P-256 scalar (big-endian).

        Raises Malformed for another length, or a scalar outside [1, n).
        """
        if len(secret) != _SECRET_BYTES:
            raise Malformed(f"a private key of {len(secret)} bytes instead of {_SECRET_BYTES}")
        match algorithm:
            case Algorithm.ED25519:
                return SoftwareSigner(ed25519.Ed25519PrivateKey.from_private_bytes(secret))
            case Algorithm.ESP256:
                try:
                    scalar = int.from_bytes(secret, "big")
                    return SoftwareSigner(ec.derive_private_key(scalar, ec.SECP256R1()))
                except ValueError:
                    # Without the cause: an error must not carry a secret into a log.
                    raise Malformed("a P-256 private key outside its range") from None
            case Algorithm.ML_DSA_44:
                return SoftwareSigner(mldsa.MLDSA44PrivateKey.from_seed_bytes(secret))

    @staticmethod
    def from_pkcs8(der: bytes) -> "SoftwareSigner":
        """A signer from an unencrypted PKCS#8 PrivateKeyInfo (DER, RFC 5958).

        Raises Malformed for broken bytes and for keys of no admitted algorithm.
        """
        try:
            private = load_der_private_key(der, None)
        except (ValueError, TypeError) as error:
            raise Malformed("not a PKCS#8 private key") from error
        match private:
            case ed25519.Ed25519PrivateKey() | mldsa.MLDSA44PrivateKey():
                return SoftwareSigner(private)
            case ec.EllipticCurvePrivateKey() if isinstance(private.curve, ec.SECP256R1):
                return SoftwareSigner(private)
            case _:
                raise Malformed("a private key of no admitted kind (Ed25519, P-256, ML-DSA-44)")

    @property
    def public_key(self) -> PublicKey:
        """The key whose signatures `sign` makes."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """A signature that `fieldpost.keys.verify_signature` accepts (P-256: r‖s with low s)."""
        match self._private:
            case ec.EllipticCurvePrivateKey() as private:
                r, s = decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
                return low_s(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
            case private:
                return private.sign(message)

    def to_pkcs8(self) -> bytes:
        """The secret, as an unencrypted PKCS#8 PrivateKeyInfo (DER): handle with care."""
        return self._private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def __repr__(self) -> str:
        return f"SoftwareSigner({self._public.algorithm.name} {self._public.thumbprint().hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not copied or pickled: it holds a private key")


def _public_key(private: _PrivateKey) -> PublicKey:
    match private:
        case ed25519.Ed25519PrivateKey():
            return PublicKey(Algorithm.ED25519, private.public_key().public_bytes_raw())
        case mldsa.MLDSA44PrivateKey():
            return PublicKey(Algorithm.ML_DSA_44, private.public_key().public_bytes_raw())
        case _:
            point = private.public_key().public_numbers()
            raw = point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
            return PublicKey(Algorithm.ESP256, raw)
