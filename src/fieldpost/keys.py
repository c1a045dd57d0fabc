# SPDX-License-Identifier: Apache-2.0
"""Public keys, their thumbprints, and the one signature rule (docs/spec/keys.md).

A key is written as the COSE_Key map of exactly the members that RFC 9679 hashes, so a key's
encoding and the preimage of its thumbprint are the same bytes:

    Ed25519    {1: 1, -1: 6, -2: x}              x 32 bytes
    P-256      {1: 2, -1: 1, -2: x, -3: y}       x, y 32 bytes each
    ML-DSA-44  {1: 7, 3: -48, -1: pub}           pub 1312 bytes

Libraries disagree about malformed signatures, so what counts as valid is decided here, for
ledger, devices, monitors and tools alike. Nothing else may call a library's verify.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted


class Algorithm(IntEnum):
    """Fully specified COSE algorithms (RFC 9864, RFC 9964)."""

    ED25519 = -19
    ESP256 = -9
    ML_DSA_44 = -48


PUBLIC_KEY_BYTES: Final = {Algorithm.ED25519: 32, Algorithm.ESP256: 64, Algorithm.ML_DSA_44: 1312}
SIGNATURE_BYTES: Final = {Algorithm.ED25519: 64, Algorithm.ESP256: 64, Algorithm.ML_DSA_44: 2420}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One public key. `raw` is x, x‖y or pub, of the length that `algorithm` demands."""

    algorithm: Algorithm
    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != PUBLIC_KEY_BYTES[self.algorithm]:
            raise Malformed(f"a {self.algorithm.name} key of {len(self.raw)} bytes")

    def cose_key(self) -> dict[cbor.Key, cbor.Value]:
        """The COSE_Key map (RFC 9052 §7) with just the members that RFC 9679 §4 hashes."""
        match self.algorithm:
            case Algorithm.ED25519:
                return {1: 1, -1: 6, -2: self.raw}
            case Algorithm.ESP256:
                return {1: 2, -1: 1, -2: self.raw[:32], -3: self.raw[32:]}
            case Algorithm.ML_DSA_44:
                return {1: 7, 3: -48, -1: self.raw}

    def encode(self) -> bytes:
        """Deterministic CBOR of `cose_key()`."""
        # Whoever verifies asks for a thumbprint, so this is not left to the encoder.
        match self.algorithm:
            case Algorithm.ED25519:
                return b"\xa3\x01\x01\x20\x06\x21\x58\x20" + self.raw
            case Algorithm.ESP256:
                x, y = self.raw[:32], self.raw[32:]
                return b"\xa4\x01\x02\x20\x01\x21\x58\x20" + x + b"\x22\x58\x20" + y
            case Algorithm.ML_DSA_44:
                return b"\xa3\x01\x07\x03\x38\x2f\x20\x59\x05\x20" + self.raw

    def thumbprint(self) -> bytes:
        """32 bytes: SHA-256 of the encoding (RFC 9679). The `kid` of every post and report."""
        return sha256(self.encode()).digest()


class Signer(Protocol):
    """Something that holds a private key: a file, a token, a secure element."""

    @property
    def public_key(self) -> PublicKey:
        """The key whose signatures `sign` makes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """A signature that `verify_signature` accepts. Raises Unavailable if the holder fails."""
        ...


def parse_cose_key(value: object) -> PublicKey:
    """Read a COSE_Key map. Raises Malformed for unknown or missing members and wrong lengths."""
    # In a match true is 1, so a key of one encoding must be told from its twin.
    if not isinstance(value, Mapping) or any(isinstance(item, bool) for item in value.values()):
        raise Malformed("a COSE_Key must be a map of integers and bytes")
    match value:
        case {1: 1, -1: 6, -2: bytes(x), **rest} if not rest and len(x) == 32:
            return PublicKey(Algorithm.ED25519, x)
        case {1: 2, -1: 1, -2: bytes(x), -3: bytes(y), **rest} if (
            not rest and len(x) == len(y) == 32
        ):
            return PublicKey(Algorithm.ESP256, x + y)
        case {1: 7, 3: -48, -1: bytes(pub), **rest} if not rest and len(pub) == 1312:
            return PublicKey(Algorithm.ML_DSA_44, pub)
        case _:
            raise Malformed("a COSE_Key of no admitted form (Ed25519, P-256, ML-DSA-44)")


def decode_key(data: bytes) -> PublicKey:
    """`parse_cose_key` of encoded bytes."""
    return parse_cose_key(cbor.decode(data))


# --- The signature rule -------------------------------------------------------------------------

_P: Final = 2**255 - 19
_L: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_P256_N: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

# y coordinates of the eight points of low order (RFC 8032's curve): 1, -1, 0 and ±y of order 8.
_Y8: Final = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_LOW_ORDER_Y: Final = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})


Accepts = Callable[[bytes, bytes, bytes], bool]
"""Whether an Ed25519 key (32 bytes), a message and a signature (64 bytes) are surely valid."""


def verify_signature(
    key: PublicKey,
    message: bytes,
    signature: bytes,
    quick_yes: Accepts | None = None,
) -> None:
    """Check one signature under the one rule. Returns nothing.

    Ed25519: S < L, canonical R and A, no low-order A, cofactorless equation.
    P-256: 64 bytes r‖s, both in [1, n), s ≤ n/2, SHA-256. ML-DSA-44: empty context (FIPS 204).
    `quick_yes` is asked first, of raw Ed25519 key, message and signature with good A and S: it may
    say yes where the equation holds, and its no means nothing (engines.quick_yes).
    Raises Untrusted("bad-signature") for everything else, wrong lengths included.
    """
    if len(signature) != SIGNATURE_BYTES[key.algorithm]:
        raise Untrusted("bad-signature", "the signature has a wrong length")
    try:
        match key.algorithm:
            case Algorithm.ED25519:
                _verify_ed25519(key.raw, message, signature, quick_yes)
            case Algorithm.ESP256:
                _verify_p256(key.raw, message, signature)
            case Algorithm.ML_DSA_44:
                mldsa.MLDSA44PublicKey.from_public_bytes(key.raw).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Untrusted("bad-signature", f"{key.algorithm.name} signature is not valid") from error


def _verify_ed25519(
    raw: bytes,
    message: bytes,
    signature: bytes,
    quick_yes: Accepts | None,
) -> None:
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    # Canonical A: y < p. (x = 0 with the sign bit set has y = ±1, which is of low order anyway.)
    if y >= _P or y in _LOW_ORDER_Y:
        raise InvalidSignature
    if int.from_bytes(signature[32:], "little") >= _L:
        raise InvalidSignature
    if quick_yes is not None and quick_yes(raw, message, signature):
        return
    # The library compares encodings of R, cofactorless, so a non-canonical R never matches.
    ed25519.Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)


def _verify_p256(raw: bytes, message: bytes, signature: bytes) -> None:
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    if not (0 < r < _P256_N and 0 < s <= _P256_N // 2):
        raise InvalidSignature
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + raw)
    point.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


def low_s(signature: bytes) -> bytes:
    """The P-256 signature with s ≤ n/2: what signers must send, secure elements included."""
    s = int.from_bytes(signature[32:], "big")
    return signature[:32] + min(s, _P256_N - s).to_bytes(32, "big")


def check_key(key: PublicKey) -> None:
    """Check once, at registration, what would be too dear at every signature.

    Ed25519: canonical, on the curve, [L]A = identity, not the identity. P-256: on the curve.
    Raises Malformed.
    """
    if key.algorithm is Algorithm.ED25519:
        if not _is_of_prime_order(key.raw):
            raise Malformed("an Ed25519 key that is no point of the prime-order group")
    elif key.algorithm is Algorithm.ESP256:
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key.raw)
        except ValueError as error:
            raise Malformed("a P-256 key that is not on the curve") from error


# X25519 multiplies by this number: it has the bits that RFC 7748 §5 sets and clears, is a multiple
# of 8, and is -1 modulo L.
_MINUS_ONE: Final = x25519.X25519PrivateKey.from_private_bytes((5 * _L - 1).to_bytes(32, "little"))


def _is_of_prime_order(raw: bytes) -> bool:
    """Whether 32 bytes are canonically a point A other than the identity, with [L]A = identity.

    A is B + T with [L]B = identity and T of low order. X25519 gives the u of [5L - 1]A = -B, and u
    is the same for a point and its negative: so it is the u of A where T is the identity, and else
    it is not, since B + T = -B only if B is the identity and A of low order. To multiply by L here
    took twenty times as long.
    """
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    # Where x = 0 and may not have a sign, the point is of low order.
    if y >= _P or y in _LOW_ORDER_Y:
        return False
    # On the curve: x² = (y² - 1) / (dy² + 1) is a square (Euler). X25519 would take others.
    if pow((y * y - 1) * (_D * y * y + 1), (_P - 1) // 2, _P) != 1:
        return False
    u = ((1 + y) * pow(1 - y, -1, _P) % _P).to_bytes(32, "little")
    return _MINUS_ONE.exchange(x25519.X25519PublicKey.from_public_bytes(u)) == u
