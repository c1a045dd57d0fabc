# SPDX-License-Identifier: Apache-2.0
"""A device as its lot knows it, and the device's names (docs/spec/identity.md).

    leaf      = [serial, COSE_Key, class id]      serial: text, or 32 bytes of a salted hash
    device id = RFC 9679 thumbprint of the key, 32 bytes; shown as base32 of its first 16 bytes
    ueid      = 01 ‖ device id                                      (RFC 9711 §4.2.1, type RAND)

A device has one key pair, made on the device: P-256 or Ed25519.
"""

import re
from base64 import b32encode
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.keys import Algorithm, PublicKey, parse_cose_key
from fieldpost.records.fields import check_text

MAX_SERIAL: Final = 64
MIN_SALT_BYTES: Final = 16
# 64 characters of a serial, the COSE_Key of P-256, the class id, and their heads.
MAX_LEAF_BYTES: Final = 1 + 66 + 75 + 17
DEVICE_ALGORITHMS: Final = frozenset({Algorithm.ESP256, Algorithm.ED25519})


@dataclass(frozen=True, slots=True)
class DeviceLeaf:
    """One device of a lot. `serial` is 1…64 printable ASCII characters or a 32-byte salted hash.

    `class_id` is 16 bytes. Raises Malformed for anything else, other keys than P-256 and Ed25519
    included; whether the key is a good one is checked at enrolment.
    """

    serial: str | bytes
    key: PublicKey
    class_id: bytes

    def __post_init__(self) -> None:
        if isinstance(self.serial, bytes):
            if len(self.serial) != 32:
                raise Malformed("a hashed serial must be 32 bytes")
        else:
            check_text(self.serial, "a serial", MAX_SERIAL)
        if self.key.algorithm not in DEVICE_ALGORITHMS:
            raise Malformed(f"a device's key is P-256 or Ed25519, not {self.key.algorithm.name}")
        if len(self.class_id) != 16:
            raise Malformed("a class id must be 16 bytes")

    @property
    def device(self) -> bytes:
        """The device id."""
        return device_id(self.key)

    def encode(self) -> bytes:
        """Deterministic CBOR: what the lot's tree hashes."""
        return cbor.encode([self.serial, self.key.cose_key(), self.class_id])


def decode_leaf(data: bytes) -> DeviceLeaf:
    """Read a leaf. Raises Malformed."""
    match cbor.decode(data):
        case (str() | bytes() as serial, key, bytes(class_id)):
            return DeviceLeaf(serial, parse_cose_key(key), class_id)
        case _:
            raise Malformed("a device leaf must be [serial, COSE_Key, class id]")


# A leaf as it is encoded: serial, then the COSE_Key of Ed25519 or of P-256, then the class.
_FORM: Final = re.compile(
    rb"\x83(?:\x58\x20.{32}|([\x61-\x77]|\x78[\x18-\x40])([ -~]{1,64}))"
    rb"(\xa3\x01\x01\x20\x06\x21\x58\x20.{32}|\xa4\x01\x02\x20\x01\x21\x58\x20.{32}\x22\x58\x20.{32})"
    rb"\x50(.{16})",
    re.DOTALL,
)


def scan_leaf(data: bytes) -> tuple[bytes, bytes]:
    """The device id and the class id in a leaf, ten times as fast as `decode_leaf`.

    For a lot of a million. Accepts what `decode_leaf` accepts. Raises Malformed.
    """
    key, class_id = _scan(data)
    # The key stands in the leaf as its thumbprint hashes it.
    return sha256(key).digest(), class_id


# Whoever takes reports asks for a device's key to have signatures verified, and again to judge.
@lru_cache(512)
def scan_key(data: bytes) -> tuple[PublicKey, bytes]:
    """The key and the class id in a leaf, as `scan_leaf`: for whoever takes reports of a fleet."""
    key, class_id = _scan(data)
    if key[:1] == b"\xa3":
        return PublicKey(Algorithm.ED25519, key[8:]), class_id
    return PublicKey(Algorithm.ESP256, key[8:40] + key[43:]), class_id


def _scan(data: bytes) -> tuple[bytes, bytes]:
    """The encoded COSE_Key and the class id in a leaf."""
    match = _FORM.fullmatch(data)
    if match is None:
        raise Malformed("a device leaf must be [serial, COSE_Key, class id]")
    head, serial, key, class_id = match.groups()
    # The regular expression cannot count: the head must say how long the serial is.
    if head is not None and (head[-1] - 0x60 if len(head) == 1 else head[1]) != len(serial):
        raise Malformed("a device leaf must be [serial, COSE_Key, class id]")
    return key, class_id


def salted_serial(serial: str, salt: bytes) -> bytes:
    """The 32 bytes that stand in a leaf for a serial that is nobody else's business.

    SHA-256(CBOR ["fieldpost/serial", salt, serial]); the salt, at least 16 bytes, stays with the
    maker, who can show it for one device. Raises Malformed for a short salt or a bad serial.
    """
    if len(salt) < MIN_SALT_BYTES:
        raise Malformed(f"the salt of a serial must be at least {MIN_SALT_BYTES} bytes")
    check_text(serial, "a serial", MAX_SERIAL)
    return sha256(cbor.encode(["fieldpost/serial", salt, serial])).digest()


def device_id(key: PublicKey) -> bytes:
    """The 32 bytes that name a device everywhere: its key's thumbprint."""
    return key.thumbprint()


def format_device_id(device: bytes) -> str:
    """What people see of a device id: 26 letters and digits, lower case."""
    return b32encode(device[:16]).decode("ascii").rstrip("=").lower()


def ueid(device: bytes) -> bytes:
    """The EAT ueid claim of a device id: 33 bytes."""
    return b"\x01" + device
