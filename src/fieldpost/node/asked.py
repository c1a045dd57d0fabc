# SPDX-License-Identifier: Apache-2.0
"""What was parsed before, by its bytes: whole requests, and headers of bodies that are taken here.

Devices of a class send the same few bytes again and again, and who posts sends the same header
before each body. Between two messages the parser holds nothing, so the same bytes there are the
same request, or the same header, and parsing them a second time says nothing new. Only what the
parser took as exactly one plain message is remembered, and only for where a message begins: bytes
inside a body are never looked up.
"""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

MOST_BYTES: Final = 1_024
"""Of a request or header that is remembered; devices send about a hundred."""
MOST_REQUESTS: Final = 4_096
"""That are remembered, of each kind; when there are more all are forgotten, and parsed again."""

Said = TypeVar("Said")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a plain request for a prepared answer says: its raw path, and how it asks."""

    path: bytes
    is_head: bool
    if_none_match: str | None


class SaidBefore(Generic[Said]):
    """One memory of one server: bytes, and what they said when they were parsed. For one thread."""

    def __init__(self) -> None:
        self._known: dict[bytes, Said] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def find(self, data: bytes) -> Said | None:
        """What these bytes said when they were parsed, if they were."""
        # A long body is not hashed in vain.
        return self._known.get(data) if len(data) <= MOST_BYTES else None

    def keep(self, data: bytes, said: Said) -> None:
        """Remember what the parser made of `data`, which was whole and no more."""
        if len(data) > MOST_BYTES:
            return
        if len(self._known) >= MOST_REQUESTS:
            self._known.clear()
        self._known[data] = said
