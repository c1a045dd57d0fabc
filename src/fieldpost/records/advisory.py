# SPDX-License-Identifier: Apache-2.0
"""The advisory record: payload of `advisory.publish` (docs/spec/kinds.md).

    {1: nonce, 2: class id, 3: number, 4: [CVE id…], 5: [[first, last]…], 6: fixed in,
     7: severity, 8: exploited, 9: [document type, SHA-256]}

Advisories of a class are numbered from 1; posting a number again revises that advisory. Affected
sequences are inclusive ranges in rising order. Label 6 is absent while nothing is fixed.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records import limits
from fieldpost.records.fields import Fields, Reading, check_distinct, member_of, pair_of

_CVE: Final = re.compile(r"CVE-[0-9]{4}-[0-9]{4,10}")


class Severity(IntEnum):
    """The qualitative scale of CVSS."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class DocumentType(IntEnum):
    """What the document is that says more."""

    CSAF = 0
    OSV = 1
    OPENVEX = 2


_read_severity: Final = member_of(Severity, "a severity")
_read_document_type: Final = member_of(DocumentType, "a document type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """One advisory of one class."""

    nonce: int
    class_id: bytes
    number: int
    cves: tuple[str, ...]
    affected: tuple[tuple[int, int], ...]
    severity: Severity
    exploited: bool
    document_type: DocumentType
    document: bytes
    fixed_in: int | None = None

    def is_affected(self, sequence: int) -> bool:
        """Whether a release of the class is affected."""
        return any(first <= sequence <= last for first, last in self.affected)

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the post, and the value in the map."""
        value: dict[int, object] = {
            1: self.nonce,
            2: self.class_id,
            3: self.number,
            4: list(self.cves),
            5: [list(span) for span in self.affected],
            7: int(self.severity),
            8: self.exploited,
            9: [int(self.document_type), self.document],
        }
        if self.fixed_in is not None:
            value[6] = self.fixed_in
        return cbor.encode(value)


def decode_advisory(data: bytes, reading: Reading = Reading.LEDGER) -> Advisory:
    """Read an advisory. Raises Malformed, or Untrusted("unsupported") for devices."""
    fields = Fields(cbor.decode(data), "advisory")
    document_type, document = _read_document(fields.value(9))
    advisory = Advisory(
        nonce=fields.uint(1, least=1),
        class_id=fields.octets(2, length=16),
        number=fields.uint(3, least=1),
        cves=fields.each(4, _read_cve, most=limits.MAX_ADVISORY_ITEMS),
        affected=fields.each(5, _read_span, least=1, most=limits.MAX_ADVISORY_ITEMS),
        fixed_in=fields.uint(6, least=1) if fields.has(6) else None,
        severity=_read_severity(fields.value(7)),
        exploited=fields.flag(8),
        document_type=document_type,
        document=document,
    )
    fields.close(reading)
    check_distinct(advisory.cves, "CVE ids")
    if any(first[1] >= second[0] for first, second in pairwise(advisory.affected)):
        raise Malformed("advisory: affected ranges must stand in rising order, apart")
    if advisory.fixed_in is not None and advisory.is_affected(advisory.fixed_in):
        raise Malformed("advisory: the release that fixes it cannot be affected")
    return advisory


def _read_cve(value: cbor.Value) -> str:
    if not isinstance(value, str) or not _CVE.fullmatch(value):
        raise Malformed("a CVE id must be written as CVE-2026-12345")
    return value


def _read_span(value: cbor.Value) -> tuple[int, int]:
    first, last = pair_of(value, "affected sequences", least=1, most=cbor.MAX_INT)
    if first > last:
        raise Malformed("affected sequences must be [first, last]")
    return first, last


def _read_document(value: cbor.Value) -> tuple[DocumentType, bytes]:
    match value:
        case (number, bytes(digest)) if len(digest) == 32:
            return _read_document_type(number), digest
        case _:
            raise Malformed("a document must be [type, SHA-256]")
