# SPDX-License-Identifier: Apache-2.0
"""The life of a mirror: one thread that asks every source in turn, until it is told to stop.

What only the board's operators can have done ends it for good: DATA/halted says why, and no later
start follows that board before a person has looked.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, write_file
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import FieldpostError, Misbehaviour, Misconfigured, NotFound
from fieldpost.journal import tell
from fieldpost.store.log_files import read_file
from fieldpost.tlog.checkpoint import parse_checkpoint
from fieldpost.tlog.note import parse_note
from fieldpost.watch.mirror_copy import BoardCopy
from fieldpost.watch.mirror_follow import BoardFollower, Paused, Told
from fieldpost.watch.mirror_sources import Shown, Source, Turn

HALTED: Final = "halted"
# A source that is slower than this lets another one have a turn.
_STEP_S: Final = 60.0
_SILENT_S: Final = 60.0

_log = logging.getLogger(__name__)


def check_not_halted(data: Path) -> None:
    """Raises Misbehaviour again where an earlier run met two histories of this board."""
    try:
        said = read_file(data / HALTED).decode(errors="replace")
    except NotFound:
        return
    kept = tuple(path.read_bytes() for path in sorted((data / "evidence").iterdir()))
    raise Misbehaviour(
        "halted",
        f"{said.strip()} When you have looked, and know which history to keep, remove "
        f"{data / HALTED} to go on with the one that is here",
        kept,
    )


class MirrorRun:
    """Follows a board from several sources. `every_s`: how often each is asked.

    `grew` is called, on the following thread, whenever something new is published; `ended` when a
    failure ended it, which `failure` is then.
    """

    def __init__(
        self,
        copy: BoardCopy,
        sources: Sequence[Source],
        *,
        board: str | None = None,
        every_s: float = 5.0,
        verifiers: Verifiers | None = None,
        told: Told = lambda _: None,
        uptime: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        disk: Disk = OS,
    ) -> None:
        self._copy = copy
        self._verifiers = Verifiers(answer_s=60.0) if verifiers is None else verifiers
        self.turns = [Turn(source) for source in sources]
        self._every_s = every_s
        self._uptime = uptime
        self._chance = chance
        self._disk = disk
        self._stop = threading.Event()
        self._until = 0.0
        self.grew: Callable[[], None] = lambda: None
        self.ended: Callable[[], None] = lambda: None
        self.failure: FieldpostError | None = None
        self._thread: threading.Thread | None = None
        self._follower = BoardFollower(
            copy, self._verifiers, board=board, told=told, go_on=self._may_go_on
        )

    def _may_go_on(self) -> bool:
        return not self._stop.is_set() and self._uptime() < self._until

    def begin(self) -> None:
        """Ask until something is published here. Raises Misbehaviour, Misconfigured."""
        while self._copy.head is None and not self._stop.is_set():
            self.ask_next()

    def start(self) -> None:
        """Follow on a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="fieldpost-mirror", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for the end of what is under way. The copy stays open."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for turn in self.turns:
            turn.source.close()
        self._verifiers.close()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.ask_next()
        except FieldpostError as error:
            self.failure = error
            tell(_log, "mirror-stopped", error=error)
            self.ended()
        except BaseException:
            self.ended()
            raise

    def ask_next(self) -> None:
        """Wait for the next source's turn, and take it. Raises Misbehaviour, Misconfigured."""
        turn = min(self.turns, key=lambda one: one.due)
        if self._stop.wait(max(0.0, turn.due - self._uptime())):
            return
        self._until = self._uptime() + _STEP_S
        before = turn.error
        try:
            self._take(turn)
        except Paused:
            turn.paused(self._uptime())
        except Misbehaviour as error:
            write_file(self._copy.data / HALTED, f"{error}\n".encode(), disk=self._disk)
            raise
        except Misconfigured:
            raise
        except FieldpostError as error:
            turn.failed(error, self._uptime(), self._every_s, self._chance)
            if turn.error != before:
                tell(_log, "source-refused", source=turn.source.name, error=error)

    def _take(self, turn: Turn) -> None:
        shown = turn.source.ask()
        if shown is not None:
            turn.behind = max(0, _size(shown) - self._copy.published_size)
            if self._follower.step(turn.source.mirror, shown.note):
                self.grew()
            turn.source.taken(shown)
        turn.went_well(self._uptime(), self._every_s, self._chance)

    # --- how it goes, for any thread ---

    def behind(self) -> int:
        """Entries that a source showed and that are not published here yet."""
        return max(turn.behind for turn in self.turns)

    def asked_s(self) -> float:
        """Seconds since a source last answered with what was taken in; infinite if none did."""
        answered = [turn.answered for turn in self.turns if turn.answered is not None]
        return self._uptime() - max(answered) if answered else float("inf")

    def trouble(self) -> str | None:
        """What keeps the mirror from being up to date, as far as it can know."""
        if self.failure is not None:
            return str(self.failure)
        if self.asked_s() > max(_SILENT_S, 3 * self._every_s):
            errors = [turn.error for turn in self.turns if turn.error]
            return f"no source has answered for a while: {'; '.join(errors) or 'none was asked'}"
        if behind := self.behind():
            return f"{behind} entries behind what a source shows; it is being fetched"
        return None


def _size(shown: Shown) -> int:
    return parse_checkpoint(parse_note(shown.note).text).size
