# SPDX-License-Identifier: Apache-2.0
"""Whole requests that were parsed before, by their bytes.

Devices of a class send the same few bytes again and again. Between two messages the parser holds
nothing, so the same bytes there are the same request, and parsing them a second time says nothing
new. Only what the parser took as exactly one plain request for a prepared answer is remembered,
and only for where a message begins: bytes inside a body are never looked up.
"""

from dataclasses import dataclass
from typing import Final

MOST_BYTES: Final = 1_024
"""Of a request that is remembered; devices send about a hundred."""
MOST_REQUESTS: Final = 4_096
"""That are remembered; when there are more all are forgotten, and parsed again."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a plain request for a prepared answer says: its raw path, and how it asks."""

    path: bytes
    is_head: bool
    if_none_match: str | None


class AskedBefore:
    """The memory of one server. For one thread."""

    def __init__(self) -> None:
        self._requests: dict[bytes, Asked] = {}

    def __len__(self) -> int:
        """How many requests are remembered."""
        return len(self._requests)

    def find(self, data: bytes) -> Asked | None:
        """What these bytes asked when they were parsed, if they were."""
        return self._requests.get(data)

    def keep(self, data: bytes, asked: Asked) -> None:
        """Remember what the parser made of `data`, which was one whole request and no more."""
        if len(data) > MOST_BYTES:
            return
        if len(self._requests) >= MOST_REQUESTS:
            self._requests.clear()
        self._requests[data] = asked
