# SPDX-License-Identifier: Apache-2.0
"""What the other operators cosigned, fetched from their nodes: a thread for each of them.

Whoever does not answer costs its thread some time and nobody else anything. Lines are verified
where they arrive; a peer's signature under another root is kept as evidence against it.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from fieldpost.client.transport import HttpClient
from fieldpost.engines.cometbft.publishing import Publisher, Wanted
from fieldpost.errors import FieldpostError, Misbehaviour, NotFound
from fieldpost.journal import tell
from fieldpost.records.board import BoardRecord
from fieldpost.tlog.note import MAX_NOTE_BYTES, parse_note
from fieldpost.tlog.treehead import parse_checkpoint

TEXT: Final = "text/plain"
_SILENCE_S: Final = 3.0
_TOTAL_S: Final = 6.0
_WAIT_S: Final = 1.0
# A peer that is about to sign answers when it has; shorter than the silence that is taken for away.
_SIGNING_S: Final = 1
_FIRST_PAUSE_S: Final = 0.02
_MOST_PAUSE_S: Final = 0.3
_FIRST_AWAY_S: Final = 0.25
_MOST_AWAY_S: Final = 1.0
_LOOK_S: Final = 5.0
# Whoever has nothing to tell is asked all the same, so that its absence is known.
_PROBE_S: Final = 2.0

_log = logging.getLogger(__name__)


class Peers:
    """Fetches lines for `publisher` from the operators of the record that `record` gives.

    `own` is the name of this node's operator, None for a node that only follows. `keep_evidence`
    is given a peer's name and the fork that it showed.
    """

    def __init__(
        self,
        publisher: Publisher,
        *,
        record: Callable[[], BoardRecord],
        own: Callable[[BoardRecord], str | None],
        keep_evidence: Callable[[str, Misbehaviour], None],
    ) -> None:
        self._publisher = publisher
        self._record = record
        self._own = own
        self._keep_evidence = keep_evidence
        self._stopping = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._watching = threading.Thread(target=self._watch, name="fieldpost-peers", daemon=True)
        self._watching.start()

    def close(self) -> None:
        """Ask nobody any more. Threads that wait for an answer end by themselves."""
        self._stopping.set()
        self._watching.join()

    def _watch(self) -> None:
        """Follow whoever the newest record names."""
        while not self._stopping.is_set():
            record = self._record()
            own = self._own(record)
            self._publisher.presence.expect(record)
            for operator in record.operators:
                thread = self._threads.get(operator.name)
                if operator.name != own and (thread is None or not thread.is_alive()):
                    self._threads[operator.name] = threading.Thread(
                        target=self._follow,
                        args=(operator.name,),
                        name="fieldpost-peer",
                        daemon=True,
                    )
                    self._threads[operator.name].start()
            self._stopping.wait(_LOOK_S)

    def _urls(self, name: str) -> tuple[str, ...]:
        for operator in self._record().operators:
            if operator.name == name:
                return operator.urls
        return ()

    def _follow(self, name: str) -> None:
        presence = self._publisher.presence
        turn, away = 0, _FIRST_AWAY_S
        told: str | None = None
        while not self._stopping.is_set() and (urls := self._urls(name)):
            try:
                with HttpClient(
                    urls[turn % len(urls)], timeout_s=_SILENCE_S, total_s=_TOTAL_S
                ) as http:
                    self._take_from(http, name)
            except FieldpostError as error:
                if presence.is_here(name):
                    away, told = _FIRST_AWAY_S, None
                if str(error) != told:
                    tell(_log, "peer-away", peer=name, error=error)
                told = str(error)
                turn += 1
                if turn % len(urls) == 0:
                    presence.missed(name)
                self._stopping.wait(away)
                away = min(away * 2, _MOST_AWAY_S)

    def _take_from(self, http: HttpClient, name: str) -> None:
        """Ask one URL until it fails. Raises Unavailable, Untrusted, Malformed."""
        pause = _FIRST_PAUSE_S
        asked_at = -_PROBE_S
        while not self._stopping.is_set():
            wanted = self._publisher.wait_wanted(name, _WAIT_S)
            if time.monotonic() - asked_at >= _PROBE_S:
                asked_at = time.monotonic()
                self._probe(http, name)
            if not wanted:
                continue
            # The oldest first, as it was signed first; the newest if the peer passed that over.
            asked = wanted[:1] + wanted[-1:] if len(wanted) > 1 else wanted
            news = [self._ask(http, name, size) for size in asked]
            if any(news):
                pause = _FIRST_PAUSE_S
            else:
                self._stopping.wait(pause)
                pause = min(pause * 1.5, _MOST_PAUSE_S)

    def _probe(self, http: HttpClient, name: str) -> None:
        """Whether the peer is there, and how far it is. Raises Unavailable if it is not."""
        self._fetch(http, name, self._publisher.newest_size)
        # Of a node that published nothing yet: not now.
        with suppress(FieldpostError):
            note = http.fetch("/log/checkpoint", accept=TEXT, most_bytes=MAX_NOTE_BYTES)
            size = parse_checkpoint(parse_note(note).text).size
            self._publisher.presence.shows(name, size)

    def _ask(self, http: HttpClient, name: str, wanted: Wanted) -> bool:
        """Whether the peer had anything new over a size."""
        note = self._fetch(http, name, wanted.size, f"?wait={_SIGNING_S}")
        try:
            return note is not None and self._publisher.add_note(wanted.size, note)
        except NotFound:
            return False
        except Misbehaviour as fork:
            self._keep_evidence(name, fork)
            raise

    def _fetch(self, http: HttpClient, name: str, size: int, query: str = "") -> bytes | None:
        """What the peer has over a size, None if nothing; it is there, either way."""
        note: bytes | None = None
        with suppress(NotFound):
            path = f"/v1/cosignatures/{size}{query}"
            note = http.fetch(path, accept=TEXT, most_bytes=MAX_NOTE_BYTES)
        self._publisher.presence.heard(name)
        return note
