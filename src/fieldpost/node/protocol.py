# SPDX-License-Identifier: Apache-2.0
"""What a server speaks: the short way for small bodies, and one for answers that lie ready.

A prepared answer (`fieldpost.node.fast`) is written once the request is parsed whole, if nothing
else on the connection is under way; the same bytes are parsed once (`fieldpost.node.asked`).
Limits hold for it as for all.
"""

import asyncio
from typing import Any, Final

from fieldpost.node.asked import Asked, SaidBefore
from fieldpost.node.bodies import Bodies
from fieldpost.node.config import Limits
from fieldpost.node.crowd import Crowd
from fieldpost.node.exchange import UNUSUAL
from fieldpost.node.fast import FastAnswers
from fieldpost.node.gate import PREPARED_COST, Gate
from fieldpost.node.guarded import FORWARDED
from fieldpost.node.short_way import ShortWayProtocol
from fieldpost.node.taking import ShortWay
from fieldpost.node.unsent import Unsent

# A request with one of these asks for more than prepared bytes.
_UNUSUAL: Final = UNUSUAL | {b"content-length"}


class LimitedProtocol(ShortWayProtocol):
    """One connection, whose answers may be ready."""

    fast: FastAnswers | None = None
    asked: SaidBefore[Asked]

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        self._prepared: bytes | None = None
        self._asked: Asked | None = None
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came. A request that was asked before is not parsed again."""
        if self._is_between:
            asked = self.asked.find(data)
            if asked is not None and self._answer_again(asked):
                return
        super().data_received(data)

    def remember(self, data: bytes) -> None:
        """Keep what the parser made of this, in which one message began."""
        asked, self._asked = self._asked, None
        if asked is None:
            super().remember(data)
        elif self._is_between:
            self.asked.keep(data, asked)

    def _answer_again(self, asked: Asked) -> bool:
        """Answer what `_is_plain` and `_find_prepared` took before, if they would do so now."""
        fast = self.fast
        if fast is None or self.is_busy():
            return False
        now = self.loop.time()
        answer = fast.find(
            asked.path,
            is_head=asked.is_head,
            if_none_match=asked.if_none_match,
            general=self.server_state.default_headers,
            now=now,
        )
        if answer is None or not self.gate.admits(self._peer, PREPARED_COST, now):
            return False
        self._header_arrived()
        # What waits of it is nobody's for whom a request before this was forwarded.
        self._client = self._peer
        self.transport.write(answer)
        self.answered(now)
        return True

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._asked = None
        super().on_message_begin()

    def begin(self) -> None:
        """Give the prepared answer if there is one and the client may ask."""
        prepared = self._find_prepared() if self.is_plain() else None
        self._prepared = prepared if prepared is not None and self.admits(PREPARED_COST) else None
        if self._prepared is None:
            super().begin()

    def on_message_complete(self) -> None:
        """The request is whole."""
        prepared, self._prepared = self._prepared, None
        if prepared is None:
            super().on_message_complete()
            return
        self._is_between = True
        self.transport.write(prepared)
        self.answered(self.loop.time())

    def _find_prepared(self) -> bytes | None:
        fast = self.fast
        method = self.parser.get_method()
        if fast is None or method not in (b"GET", b"HEAD"):
            return None
        if_none_match: str | None = None
        is_forwarded = False
        for name, value in self.headers:
            if name in _UNUSUAL:
                return None
            if name == b"if-none-match" and if_none_match is None:
                if_none_match = value.decode("latin-1")
            is_forwarded |= name in FORWARDED
        found = fast.find(
            self.url,
            is_head=method == b"HEAD",
            if_none_match=if_none_match,
            general=self.server_state.default_headers,
            now=self.loop.time(),
        )
        # Whom a forwarded request is charged to is asked each time.
        if found is not None and not is_forwarded:
            self._asked = Asked(self.url, method == b"HEAD", if_none_match)
        return found


def limited_protocol(
    limits: Limits,
    *,
    gate: Gate,
    crowd: Crowd,
    unsent: Unsent,
    bodies: Bodies,
    fast: FastAnswers | None = None,
    short: ShortWay | None = None,
) -> type[asyncio.Protocol]:
    """The protocol class for a server with these limits."""
    members = {"limits": limits, "gate": gate, "crowd": crowd, "unsent": unsent}
    members |= {"bodies": bodies, "fast": fast, "short": short}
    members |= {"asked": SaidBefore(), "announced": SaidBefore()}
    return type("LimitedProtocol", (LimitedProtocol,), members)
