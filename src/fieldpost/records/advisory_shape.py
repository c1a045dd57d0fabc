# SPDX-License-Identifier: Apache-2.0
"""An advisory read as it stands, in one pass: whoever takes posts by the hundred has most of these.

When a library that many makers use has a hole, all of them post on the same day. Deterministic
CBOR gives nearly every advisory one shape; "texts" and [pairs] stand behind their heads:

    a8|a9 01 uint 02 50 class-id 03 uint 04 array "CVE"… 05 array [82 uint uint]… (06 uint)
        07 severity 08 f4|f5 09 82 type 58 20 digest

What fits this to the last byte, every number and length in its shortest form, is what
`decode_advisory` would have made and what it would encode to, so nothing is encoded again to see
that. It takes a quarter of the time of both. Whatever does not fit is left to the decoder, which
takes what is rare (numbers of 2^32 and more, 24 and more items) and says what is wrong.
"""

import re
from typing import Final

from fieldpost.records.advisory import Advisory, DocumentType, Severity

# From 1 on, as every number of an advisory is.
_UINT: Final = rb"(?:[\x01-\x17]|\x18[\x18-\xff]|\x19[\x01-\xff].|\x1a(?!\0\0).{4})"
_SHAPE: Final = re.compile(
    rb"([\xa8\xa9])\x01(%b)\x02\x50(.{16})\x03(%b)"
    rb"\x04([\x80-\x97])((?:[\x6d-\x73]CVE-[0-9]{4}-[0-9]{4,10})*)"
    rb"\x05([\x81-\x97])((?:\x82%b%b)+)"
    rb"(?:\x06(%b))?\x07([\0-\4])\x08([\xf4\xf5])\x09\x82([\0-\2])\x58\x20(.{32})" % ((_UINT,) * 5),
    re.DOTALL,
)
_CVES: Final = re.compile(r"([m-s])(CVE-[0-9]{4}-[0-9]+)")
_SPANS: Final = re.compile(rb"\x82(%b)(%b)" % (_UINT, _UINT), re.DOTALL)
_SEVERITIES: Final = tuple(Severity)
_DOCUMENT_TYPES: Final = tuple(DocumentType)


def find_advisory(data: bytes) -> Advisory | None:
    """The advisory of this shape. None says only that the decoder must look."""
    found = _SHAPE.fullmatch(data)
    if found is None:
        return None
    head, nonce, class_id, number, cve_count, cves, span_count, spans, fixed, *rest = found.groups()
    severity, exploited, document_type, document = rest
    fixed_in = None if fixed is None else _uint(fixed)
    heads_and_names = _CVES.findall(cves.decode())
    names = tuple([name for size, name in heads_and_names if ord(size) == 0x60 + len(name)])
    affected = _read_spans(spans, fixed_in)
    if (
        affected is None
        or head[0] != (0xA8 if fixed is None else 0xA9)
        or not cve_count[0] - 0x80 == len(heads_and_names) == len(set(names))
        or span_count[0] - 0x80 != len(affected)
    ):
        return None
    return Advisory(
        nonce=_uint(nonce),
        class_id=class_id,
        number=_uint(number),
        cves=names,
        affected=affected,
        severity=_SEVERITIES[severity[0]],
        exploited=exploited == b"\xf5",
        document_type=_DOCUMENT_TYPES[document_type[0]],
        document=document,
        fixed_in=fixed_in,
    )


def _read_spans(spans: bytes, fixed_in: int | None) -> tuple[tuple[int, int], ...] | None:
    """Ranges in rising order, apart, that do not hold what fixes them; else None."""
    affected = []
    before = 0
    for first, last in _SPANS.findall(spans):
        span = _uint(first), _uint(last)
        if not before < span[0] <= span[1] or (fixed_in and span[0] <= fixed_in <= span[1]):
            return None
        affected.append(span)
        before = span[1]
    return tuple(affected)


def _uint(encoded: bytes) -> int:
    return encoded[0] if len(encoded) == 1 else int.from_bytes(encoded[1:], "big")
