# SPDX-License-Identifier: Apache-2.0
"""Byte ranges of HTTP (RFC 9110 §14): one range, or the whole."""

import re
from typing import Final

from fieldpost.node.api.problems import BadRange

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def parse_range(header: str | None, *, size: int) -> tuple[int, int] | None:
    """The half-open range [start, end) that is asked for; None for the whole.

    What is no single byte range is ignored, as the standard wants. Raises BadRange for one that
    lies outside `size` bytes.
    """
    match = _RANGE.fullmatch((header or "").replace(" ", ""))
    if match is None or match[1] == match[2] == "":
        return None
    if not match[1]:
        count = int(match[2])
        if count == 0:
            raise BadRange(size)
        return max(0, size - count), size
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return None
    if start >= size:
        raise BadRange(size)
    return start, min(int(match[2]) + 1, size) if match[2] else size
