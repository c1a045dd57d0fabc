# SPDX-License-Identifier: Apache-2.0
"""Serials that only their maker knows: a lot's leaves hold salted hashes, a file here the salts.

    device,serial,salt            one device a line; device id and salt in hex

A leaf's hash is `fieldpost.identity.leaf.salted_serial`. Each device has a salt of its own, so that
one line of the file can be shown to somebody and says nothing of any other device.
"""

import csv
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Final

from fieldpost import durable
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.identity.leaf import MIN_SALT_BYTES, DeviceLeaf, decode_leaf, salted_serial

_COLUMNS: Final = ["device", "serial", "salt"]


@dataclass(frozen=True, slots=True)
class Known:
    """A serial, and the salt under which its hash stands in a leaf."""

    serial: str
    salt: bytes

    @property
    def hashed(self) -> bytes:
        """What stands in the leaf, 32 bytes. Raises Malformed."""
        return salted_serial(self.serial, self.salt)


class HashedSerials:
    """What is known of some devices' serials, by device id."""

    def __init__(self, known: Iterable[tuple[bytes, Known]] = ()) -> None:
        self._known = dict(known)

    @classmethod
    def load(cls, path: Path) -> "HashedSerials":
        """The file at `path`; nothing is known if there is none. Raises Malformed."""
        if not path.exists():
            return cls()
        try:
            with path.open(encoding="ascii", newline="") as file:
                return cls(_read(file))
        except (UnicodeDecodeError, Malformed, csv.Error):
            raise Malformed(
                f"{path} is no file of `lot enrol --hash-serials`: device,serial,salt"
            ) from None

    def hash_leaf(self, leaf: DeviceLeaf) -> DeviceLeaf:
        """The leaf with a hash for its serial, and the salt kept; one that is hashed stays so.

        Raises Misconfigured if another serial of this device is known.
        """
        if isinstance(leaf.serial, bytes):
            return leaf
        known = self._known.get(leaf.device)
        if known is None:
            known = Known(leaf.serial, secrets.token_bytes(MIN_SALT_BYTES))
            self._known[leaf.device] = known
        elif known.serial != leaf.serial:
            raise Misconfigured(
                f"device {leaf.device.hex()} has the serial {leaf.serial!r} here and "
                f"{known.serial!r} in the file of salts; nothing was enrolled"
            )
        return replace(leaf, serial=known.hashed)

    def serial_of(self, leaf: DeviceLeaf) -> str | None:
        """The serial in a leaf, or the one that is proven to be behind its hash, or None."""
        if isinstance(leaf.serial, str):
            return leaf.serial
        known = self._known.get(leaf.device)
        return known.serial if known is not None and known.hashed == leaf.serial else None

    def save(self, path: Path) -> None:
        """Write the file, for its owner's eyes alone, before anything rests on it."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for device, known in sorted(self._known.items()):
            writer.writerow([device.hex(), known.serial, known.salt.hex()])
        durable.write_file(path, text.getvalue().encode("ascii"), mode=0o600)


def hash_serials(
    encoded: list[bytes], serials: HashedSerials, advance: Callable[[int], None]
) -> list[bytes]:
    """Encoded leaves with hashed serials, in no order. Raises Malformed, Misconfigured."""
    hashed = []
    for leaf in encoded:
        hashed.append(serials.hash_leaf(decode_leaf(leaf)).encode())
        advance(1)
    return hashed


def _read(lines: Iterable[str]) -> Iterable[tuple[bytes, Known]]:
    reader = csv.reader(lines, strict=True)
    if next(reader, None) != _COLUMNS:
        raise Malformed("another header")
    for row in reader:
        match row:
            case [device, serial, salt]:
                try:
                    known = Known(serial, bytes.fromhex(salt))
                    identifier = bytes.fromhex(device)
                except ValueError:
                    raise Malformed("no hex") from None
                salted_serial(known.serial, known.salt)  # raises for a bad one
                yield identifier, known
            case _:
                raise Malformed("another number of columns")
