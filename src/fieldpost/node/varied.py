# SPDX-License-Identifier: Apache-2.0
"""Headers that differ only in what a proxy writes anew for each request.

A proxy gives each request an id and says for whom it asks, so behind one no two headers are the
same bytes. Here is a header with those values taken out, by which it is known again, and the
fields that they were taken from. This is no parser: a header is only remembered after the parser
found exactly these fields in it (`fieldpost.node.short_way`). From then on it says the same with
other values, because the parser reads visible characters of such a field as one more of its value
and changes nothing else for them; all other bytes have to be the same.
"""

import re
from typing import Final

from fieldpost.node.following import Headers

NAMES: Final = frozenset({b"x-request-id", b"x-forwarded-for", b"traceparent"})
_FIELD: Final = re.compile(
    rb"\r\n(X-Request-Id|X-Forwarded-For|traceparent): ([!-~]+(?: [!-~]+)*)(?=\r\n)", re.IGNORECASE
)
TAKEN_OUT: Final = b"\0"
"""What no parser takes in a header."""


def take_out(header: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A header with TAKEN_OUT for such values, and their fields in order, names in lower case.

    Only for a header without TAKEN_OUT: one that has it might be taken for another's rest.
    """
    parts = _FIELD.split(header)
    names, values = parts[1::3], parts[2::3]
    for number, name in enumerate(names):
        parts[3 * number + 1] = b"\r\n" + name + b": "
        parts[3 * number + 2] = TAKEN_OUT
    return b"".join(parts), [(n.lower(), v) for n, v in zip(names, values, strict=True)]


def are_all(fields: Headers, headers: Headers) -> bool:
    """Whether the parser found these fields, and no other of their names, among its headers."""
    return list(fields) == [(name, value) for name, value in headers if name in NAMES]
