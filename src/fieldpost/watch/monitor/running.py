# SPDX-License-Identifier: Apache-2.0
"""The life of a monitor: look, tell, wait, until it is told to stop."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldpost.engines.recovery import Watch
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import Misconfigured, Unavailable
from fieldpost.journal import tell
from fieldpost.metrics.prometheus import Metrics
from fieldpost.watch.mirror_copy import BoardCopy
from fieldpost.watch.monitor.asking import MOST_SOURCES, Eyes
from fieldpost.watch.monitor.conditions import PENDING
from fieldpost.watch.monitor.courier import Courier
from fieldpost.watch.monitor.gossip import FleetHeads
from fieldpost.watch.monitor.looking import Look, Looking, Patience
from fieldpost.watch.monitor.memory import Memory
from fieldpost.watch.monitor.passing import Makers
from fieldpost.watch.monitor.paths import AlarmPath
from fieldpost.watch.monitor.watchlist import Watchlist

_MOST_LOOKS_MISSED: Final = 3
_log: Final = logging.getLogger("fieldpost.monitor")


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings:
    """What a monitor is told. `every_s`: seconds between two looks."""

    data: Path
    urls: tuple[str, ...]
    patience: Patience
    fleets: tuple[str, ...] = ()
    every_s: float = 10.0


class Monitor:
    """A monitor whose parts are open. `uptime` in seconds; `run` and `look` are for one thread."""

    def __init__(
        self,
        looking: Looking,
        memory: Memory,
        courier: Courier,
        eyes: Eyes,
        watchlist: Watchlist,
        *,
        every_s: float,
        stop: threading.Event,
        uptime: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.looking = looking
        self.memory = memory
        self.courier = courier
        self.watchlist = watchlist
        self._eyes = eyes
        self._every_s = every_s
        self._uptime = uptime
        self._chance = chance
        self._stop = stop
        self._looked = uptime()
        self._said: dict[str, str] = {}
        self.last = Look()
        self.looks = 0
        self.alarms = 0

    def stop(self) -> None:
        """End `run` soon; for any thread and for signals."""
        self._stop.set()

    def is_going_on(self) -> bool:
        """Whether nobody has said `stop`."""
        return not self._stop.is_set()

    def look(self) -> Look:
        """Look once, and let the courier know. Raises Unavailable where this disk fails."""
        if self.watchlist.refresh():
            self._use_watchlist()
        look = self.looking.look()
        self.last = look
        self.looks += 1
        self.alarms += look.alarms
        self._looked = self._uptime()
        self._tell_troubles()
        if look.alarms:
            self.courier.wake()
        return look

    def look_until_done(self) -> Look:
        """Look until nothing more is known to be published; what all looks came to."""
        total = self.look()
        while self.is_going_on() and self.looking.behind():
            look = self.look()
            look.alarms += total.alarms
            look.misbehaviour |= total.misbehaviour
            total = look
        return total

    def run(self) -> None:
        """Look for ever, about every `every_s` seconds."""
        while self.is_going_on():
            begun = self._uptime()
            try:
                self.look()
            except Unavailable as error:
                tell(_log, "look-failed", error=error)
            # Sources that many watch are not asked by all of them at once.
            wait = self._every_s * (0.9 + self._chance() / 5)
            if not self.looking.behind():
                self._stop.wait(max(0.0, wait - (self._uptime() - begun)))

    def _use_watchlist(self) -> None:
        expected = self.watchlist.expected
        self.looking.makers.expected = expected
        for maker in [m for m in self.looking.makers.known if m.hex() not in expected]:
            del self.looking.makers.known[maker]
            self.memory.forget_maker(maker)

    def _tell_troubles(self) -> None:
        for eye in self._eyes.all:
            words = "" if eye.error is None else str(eye.error)
            if words and words != self._said.get(eye.name):
                tell(_log, "source-refused", source=eye.name, error=words)
            self._said[eye.name] = words

    def check_ready(self) -> str | None:
        """Raises Unavailable where the monitor cannot see, or does not look any more."""
        since = self._uptime() - self._looked
        patience = self.looking.patience
        if since > max(_MOST_LOOKS_MISSED * self._every_s, patience.blind_s):
            raise Unavailable(f"the last look ended {since:.0f} s ago")
        if self.looking.copy.head is None:
            raise Unavailable("nothing of the board was seen yet")
        if "blind" in self.memory.conditions():
            raise Unavailable(f"blind: {'; '.join(self.last.troubles) or 'no source answers'}")
        return None

    def conditions(self) -> list[str]:
        """What was alarmed and is not over."""
        return sorted(n for n in self.memory.conditions() if not n.startswith(PENDING))

    def announce(self, metrics: Metrics) -> None:
        """Figures for the operator."""
        copy = self.looking.copy
        metrics.total("fieldpost_monitor_looks_total", "Looks at the board.", lambda: self.looks)
        metrics.total("fieldpost_monitor_alarms_total", "Alarms raised.", lambda: self.alarms)
        metrics.total(
            "fieldpost_monitor_posts_total",
            "Posts in watched makers' names that were judged.",
            lambda: self.looking.posts,
        )
        metrics.gauge(
            "fieldpost_monitor_makers", "Makers watched.", lambda: len(self.watchlist.expected)
        )
        metrics.gauge(
            "fieldpost_monitor_size",
            "Entries of the board that were verified and published.",
            lambda: copy.published_size,
        )
        metrics.gauge(
            "fieldpost_monitor_judged", "Entries that were judged.", lambda: self.memory.judged
        )
        metrics.gauge(
            "fieldpost_monitor_head_timestamp_seconds",
            "T of the newest published head, Unix seconds.",
            lambda: copy.head.timestamp if copy.head else 0,
        )
        metrics.gauge(
            "fieldpost_monitor_look_age_seconds",
            "Seconds since the last look ended.",
            lambda: self._uptime() - self._looked,
        )
        metrics.gauge(
            "fieldpost_monitor_sees",
            "1 if the last look saw the published head at some source.",
            lambda: int(self.last.seen),
        )
        metrics.table(
            "fieldpost_monitor_source_answers",
            "1 if a source answered at the last look.",
            "source",
            lambda: {eye.name: float(eye.answered) for eye in self._eyes.all},
        )
        metrics.table(
            "fieldpost_monitor_waiting",
            "Alarms that wait for a path.",
            "path",
            lambda: {name: self.memory.owed_count(name) for name in self.courier.names},
        )
        metrics.table(
            "fieldpost_monitor_conditions",
            "1 for each condition that was alarmed and is not over.",
            "condition",
            lambda: dict.fromkeys(self.conditions(), 1.0),
        )


@contextmanager
def open_monitor(
    settings: MonitorSettings,
    watchlist: Watchlist,
    paths: Sequence[AlarmPath],
    *,
    clock: Callable[[], int],
    board: str | None = None,
    watch: Watch | None = None,
) -> Iterator[Monitor]:
    """Open a monitor's folder. `board`: the only one to look at; a new folder without it takes
    the one that is shown first. `watch` follows entries that must be applied again.

    Raises Misconfigured, Unavailable.
    """
    if not 1 <= len(settings.urls) <= MOST_SOURCES:
        raise Misconfigured(f"name 1 to {MOST_SOURCES} sources with --board URL")
    wanted = _one_board(board, watchlist.board)
    with ExitStack() as stack:
        copy = BoardCopy(settings.data, watch=watch)
        stack.callback(copy.close)
        memory = Memory(settings.data)
        stack.callback(memory.close)
        if copy.state is not None and wanted not in (None, copy.state.board):
            raise Misconfigured(
                f"{settings.data} is a monitor of board {copy.state.board}, not of {wanted}; "
                "choose another folder"
            )
        courier = Courier(memory, paths, clock)
        for path in memory.forget_paths(courier.names):
            tell(_log, "path-forgotten", path=path)
        fleets = [FleetHeads(url) for url in settings.fleets]
        for fleet in fleets:
            stack.callback(fleet.close)
        stop = threading.Event()
        eyes = Eyes(settings.urls, ask_s=settings.patience.ask_s)
        stack.callback(eyes.close)
        verifiers = Verifiers(answer_s=60.0)
        stack.callback(verifiers.close)
        known = memory.makers()
        for maker in [m for m in known if m.hex() not in watchlist.expected]:
            del known[maker]
            memory.forget_maker(maker)
        looking = Looking(
            copy=copy,
            memory=memory,
            eyes=eyes,
            verifiers=verifiers,
            makers=Makers(watchlist.expected, known),
            patience=settings.patience,
            clock=clock,
            paths=courier.names,
            fleets=fleets,
            board=wanted,
            go_on=lambda: not stop.is_set(),
        )
        yield Monitor(
            looking, memory, courier, eyes, watchlist, every_s=settings.every_s, stop=stop
        )


def _one_board(named: str | None, expected: str | None) -> str | None:
    if named is not None and expected is not None and named != expected:
        raise Misconfigured(f"the expectations are for board {expected}, not {named}")
    return named or expected
