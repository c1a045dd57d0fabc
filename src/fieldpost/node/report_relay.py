# SPDX-License-Identifier: Apache-2.0
"""Reports that devices gave to this operator, passed on to the others: a thread for each of them.

A device reports to whichever operator answers, and each operator keeps a fleet database of its own;
by this all of them count the same. Reports are signed by devices, so that nobody need trust who
passed them on, and a relayed one goes no further. An operator that is away gets the last ones when
it comes back; what is lost here is made up for by the device's next report.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from fieldpost.client.transport import HttpClient
from fieldpost.errors import FieldpostError, Unavailable
from fieldpost.journal import tell

RELAYED: Final = "application/vnd.fieldpost.relayed-report"
MOST_WAITING: Final = 4_096
_SILENCE_S: Final = 5.0
_TOTAL_S: Final = 10.0
_FIRST_AWAY_S: Final = 0.25
_MOST_AWAY_S: Final = 10.0
_STOP_S: Final = 15.0
_LOOK_S: Final = 5.0

_log = logging.getLogger(__name__)


class ReportRelay:
    """Passes reports on to the operators that `peers` names, with their URLs, at any time."""

    def __init__(self, peers: Callable[[], Mapping[str, Sequence[str]]]) -> None:
        self._peers = peers
        self._known: Mapping[str, Sequence[str]] = {}
        self._look_at = 0.0
        self._links: dict[str, _Link] = {}
        self._lock = threading.Lock()

    def pass_on(self, report: bytes) -> None:
        """Take a report that is stored here. From any thread; does not block."""
        with self._lock:
            self._look()
            for name, urls in self._known.items():
                if name not in self._links:
                    self._links[name] = _Link(name)
                self._links[name].add(report, urls)

    def close(self) -> None:
        """Pass on nothing more; what waits is dropped."""
        with self._lock:
            links = list(self._links.values())
        for link in links:
            link.stop()
        for link in links:
            link.join()

    def _look(self) -> None:
        # Who the operators are takes reading keys; it changes with their ceremonies.
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        with suppress(Unavailable):
            self._known = self._peers()


class _Link:
    """What waits for one operator, oldest first."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._urls: Sequence[str] = ()
        self._waiting: deque[bytes] = deque(maxlen=MOST_WAITING)
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="fieldpost-relay", daemon=True)
        self._thread.start()

    def add(self, report: bytes, urls: Sequence[str]) -> None:
        with self._changed:
            self._urls = urls
            self._waiting.append(report)
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self) -> None:
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        turn, away = 0, _FIRST_AWAY_S
        told: str | None = None
        while (report := self._next()) is not None:
            urls = self._urls
            try:
                with HttpClient(
                    urls[turn % len(urls)], timeout_s=_SILENCE_S, total_s=_TOTAL_S
                ) as http:
                    while report is not None:
                        self._send(http, report)
                        away, told, report = _FIRST_AWAY_S, None, self._next()
            except FieldpostError as error:
                # Away, or its URL in the record is none: the next one may be better.
                if str(error) != told:
                    tell(_log, "relay-away", peer=self._name, error=error)
                told = str(error)
                turn += 1
                self._put_back(report)
                self._pause(away)
                away = min(away * 2, _MOST_AWAY_S)

    def _send(self, http: HttpClient, report: bytes | None) -> None:
        try:
            http.send("POST", "/v1/reports", report, content_type=RELAYED)
        except Unavailable:
            raise
        except FieldpostError:
            # It has a newer one, or does not have the leaves of the lot: its own affair.
            return

    def _next(self) -> bytes | None:
        """The oldest one, waited for; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            return None if self._stopping else self._waiting.popleft()

    def _put_back(self, report: bytes | None) -> None:
        with self._changed:
            if report is not None and len(self._waiting) < MOST_WAITING:
                self._waiting.appendleft(report)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)
