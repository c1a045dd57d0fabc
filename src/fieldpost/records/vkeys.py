# SPDX-License-Identifier: Apache-2.0
"""Log, cosigner and witness keys inside records: a C2SP vkey as [name, type ‖ public key].

The four-byte key id is computed, never stored.
"""

from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records.fields import check_text
from fieldpost.records.limits import MAX_ORIGIN
from fieldpost.tlog.note import COSIGNATURE_ED25519, COSIGNATURE_MLDSA44, VerifierKey

COSIGNER_TYPES: Final = (COSIGNATURE_ED25519, COSIGNATURE_MLDSA44)


def vkey_value(key: VerifierKey) -> list[cbor.Value]:
    """The CBOR form of a note key."""
    return [key.name, bytes((key.type,)) + key.public]


def read_vkey(value: cbor.Value) -> VerifierKey:
    """Read [name, type ‖ public key]. Raises Malformed."""
    match value:
        case (str(name), bytes(typed)) if typed:
            check_text(name, "a note key's name", MAX_ORIGIN)
            return VerifierKey(name, typed[0], typed[1:])
        case _:
            raise Malformed("a note key must be [name, type and public key]")


def read_cosigner(value: cbor.Value) -> VerifierKey:
    """`read_vkey` of a key that cosigns: type 0x04 or 0x06. Raises Malformed."""
    key = read_vkey(value)
    if key.type not in COSIGNER_TYPES:
        raise Malformed("a cosigner's key must be of type 0x04 or 0x06")
    return key
