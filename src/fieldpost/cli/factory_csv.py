# SPDX-License-Identifier: Apache-2.0
"""A factory's table of devices: CSV with a header line, one device a line.

    serial,key,scrap
    SN0001,MCowBQYDK2VwAyEA…,
    SN0002,9f8a…,x

Columns are found by name, others are passed over. A key is a public one: raw in hex or base64
(Ed25519 32 bytes, P-256 64 or 65), a SubjectPublicKeyInfo in base64, or PEM with its lines in
quotes. A line with anything in `scrap` but 0, n, no, false is left out, and counted.
"""

import base64
import binascii
import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from fieldpost.errors import Malformed
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.keys import Algorithm, PublicKey, check_key

_KEPT: Final = frozenset({"", "0", "n", "no", "false"})
_SIZES: Final = {32: Algorithm.ED25519, 64: Algorithm.ESP256}


@dataclass(frozen=True, slots=True)
class Table:
    """The devices of a table, and how many lines were marked as scrap."""

    leaves: tuple[DeviceLeaf, ...]
    scrapped: int


def read_table(
    lines: Iterable[str],
    class_id: bytes,
    *,
    serial: str = "serial",
    key: str = "key",
    scrap: str = "scrap",
) -> Table:
    """The table in `lines`; names of columns as given. Raises Malformed that names the line."""
    reader = csv.DictReader(lines, strict=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        for column in (serial, key):
            if column not in header:
                raise Malformed(f"there is no column {column!r}; the header names {header}")
        leaves, scrapped = [], 0
        for row in reader:
            if (row.get(scrap) or "").strip().lower() not in _KEPT:
                scrapped += 1
                continue
            leaves.append(_leaf(row, reader.line_num, class_id, serial, key))
    except csv.Error as error:
        raise Malformed(f"after line {reader.line_num}: {error}") from error
    return Table(tuple(leaves), scrapped)


def load_table(path: Path, class_id: bytes) -> Table:
    """The table in a file, in UTF-8 with or without a byte order mark. Raises Malformed."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return read_table(file, class_id)
    except UnicodeDecodeError:
        raise Malformed(f"{path} is not UTF-8; save it so, as comma-separated values") from None
    except Malformed as error:
        raise Malformed(f"{path}: {error}; nothing was enrolled") from error


def _leaf(row: dict[str, str], line: int, class_id: bytes, serial: str, key: str) -> DeviceLeaf:
    try:
        public = parse_public_key((row[key] or "").strip())
        check_key(public)
        return DeviceLeaf((row[serial] or "").strip(), public, class_id)
    except Malformed as error:
        raise Malformed(f"line {line}: {error}") from error


def parse_public_key(text: str) -> PublicKey:
    """A device's public key as factories write it. Raises Malformed."""
    data = _octets(text)
    if len(data) == 65 and data[0] == 4:
        data = data[1:]
    if len(data) in _SIZES:
        return PublicKey(_SIZES[len(data)], data)
    try:
        key = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise Malformed(f"{text[:24]!r}… is no public key of {len(data)} bytes") from None
    if isinstance(key, Ed25519PublicKey):
        return PublicKey(Algorithm.ED25519, key.public_bytes_raw())
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        point = key.public_numbers()
        raw = point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
        return PublicKey(Algorithm.ESP256, raw)
    raise Malformed("a device's key is P-256 or Ed25519")


def _octets(text: str) -> bytes:
    if text.startswith("-----BEGIN PUBLIC KEY-----"):
        text = "".join(text.split("-----")[2].split())
    elif "PRIVATE KEY" in text:
        raise Malformed("this is a private key! it must never leave its device; make a new one")
    try:
        # Hex before base64: every hex text is base64, too.
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(f"{text[:24]!r}… is neither hex nor base64 nor PEM") from None
