# SPDX-License-Identifier: Apache-2.0
"""For schemathesis: bodies of our media types are bytes as they are."""

from typing import Any

import schemathesis


@schemathesis.serializer(
    "application/cose",
    "application/cbor-seq",
    "application/cbor",
    "application/suit-envelope+cose",
    "application/partial-upload",
    "application/eat+cwt",
    "application/vnd.fieldpost.evidence+cbor",
)
def octets(_context: Any, value: Any) -> Any:
    """What was generated, as bytes."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return value if isinstance(value, bytes) else bytes(getattr(value, "data", b""))
