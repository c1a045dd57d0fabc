# SPDX-License-Identifier: Apache-2.0
"""The COSE_Sign1 around a report's claims (docs/spec/identity.md).

    18([<< {1: alg, 4: kid, 16: "application/eat+cwt"} >>, {}, << claims >>, signature])

One form for each algorithm, so nearly every report is taken apart by a regular expression, in an
eighth of the time of the decoder. What has not that form is left to the decoder, which says why it
is malformed, or takes it.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.identity.leaf import DEVICE_ALGORITHMS
from fieldpost.keys import Algorithm

MAX_REPORT_BYTES: Final = 4_096
TYPE: Final = "application/eat+cwt"
_NO_REPORT: Final = "a report is a COSE_Sign1 (tag 18)"


@dataclass(frozen=True, slots=True)
class ReportEnvelope:
    """A report taken apart, **unverified**. `signed` are the bytes under the signature."""

    kid: bytes
    algorithm: Algorithm
    signed: bytes
    claims: bytes
    signature: bytes


def protected_header(algorithm: Algorithm, kid: bytes) -> bytes:
    """The encoded header of a report that the device `kid` signs."""
    return cbor.encode({1: int(algorithm), 4: kid, 16: TYPE})


def signed_bytes(protected: bytes, claims: bytes) -> bytes:
    """The COSE Sig_structure."""
    return cbor.encode(["Signature1", protected, b"", claims])


# Whoever takes a report asks for its signer, then for what was signed, then for what it says.
@lru_cache(512)
def take_apart(data: bytes) -> ReportEnvelope:
    """Raises Malformed for what has not the form of a signed report; its claims are not read."""
    if len(data) > MAX_REPORT_BYTES:
        raise Malformed(f"a report of {len(data)} bytes; at most {MAX_REPORT_BYTES}")
    return _scan(data) or _decode(data)


# Groups: the header as a byte string, algorithm, kid; the claims as a byte string of 24 bytes and
# more, the claims themselves; signature.
_FORM: Final = re.compile(
    rb"\xd2\x84(\x58\x3b\xa3\x01([\x28\x32])\x04\x58\x20(.{32})\x10\x73application/eat\+cwt)"
    rb"\xa0((?:\x58[\x18-\xff]|\x59[\x01-\x10].)(.*))\x58\x40(.{64})",
    re.DOTALL,
)
_ALGORITHMS: Final = {b"\x28": Algorithm.ESP256, b"\x32": Algorithm.ED25519}
_CONTEXT: Final = b"\x84" + cbor.encode("Signature1")
_NO_EXTERNAL_DATA: Final = cbor.encode(b"")


def _scan(data: bytes) -> ReportEnvelope | None:
    match = _FORM.fullmatch(data)
    if match is None:
        return None
    header, algorithm, kid, encoded, claims, signature = match.groups()
    # The regular expression cannot count: the head must say how long the claims are.
    if int.from_bytes(encoded[1 : len(encoded) - len(claims)], "big") != len(claims):
        return None
    signed = _CONTEXT + header + _NO_EXTERNAL_DATA + encoded
    return ReportEnvelope(kid, _ALGORITHMS[algorithm], signed, claims, signature)


def _decode(data: bytes) -> ReportEnvelope:
    tagged = cbor.decode(data)
    parts = tagged.value if isinstance(tagged, cbor.Tag) and tagged.number == 18 else None
    if not isinstance(parts, tuple) or len(parts) != 4:
        raise Malformed(_NO_REPORT)
    protected, unprotected, claims, signature = parts
    if not (
        isinstance(protected, bytes)
        and isinstance(unprotected, dict)
        and isinstance(claims, bytes)
        and isinstance(signature, bytes)
    ):
        raise Malformed(_NO_REPORT)
    header = cbor.decode(protected)
    if unprotected:
        raise Malformed("the unprotected header must be empty")
    # Decoded maps are in the order of their encoded keys.
    if isinstance(header, dict) and tuple(header) == (1, 4, 16):
        number, kid, kind = header.values()
        if (
            isinstance(number, int)
            and number in DEVICE_ALGORITHMS
            and isinstance(kid, bytes)
            and len(kid) == 32
            and kind == TYPE
        ):
            signed = signed_bytes(protected, claims)
            return ReportEnvelope(kid, Algorithm(number), signed, claims, signature)
    raise Malformed(f"a report's protected header must be {{1: alg, 4: kid, 16: {TYPE}}}")
