# SPDX-License-Identifier: Apache-2.0
"""One outside witness, asked in a thread of its own: soon after each new size, and each epoch.

It cannot hold up anybody: a witness that is slow, dead, or answers nonsense costs its own thread
some waiting, with longer and longer pauses. What it last said is shown to whoever asks.
"""

import logging
import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fieldpost.client.transport import HttpClient
from fieldpost.engines.base import CommittedHead, Cosignable
from fieldpost.engines.published import TooFew
from fieldpost.errors import FieldpostError, NotFound, Unavailable
from fieldpost.journal import tell
from fieldpost.node.witness_asking import Ahead, Overtaken, WitnessAsking
from fieldpost.tlog.cosignature import parse_cosignature
from fieldpost.tlog.note import NoteSignature, VerifierKey
from fieldpost.tlog.witness import Inconsistent

SILENCE_S: Final = 5.0
TOTAL_S: Final = 15.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 15.0
POISONED_PAUSE_S: Final = 600.0
_MOST_DOUBLINGS: Final = 10
# A little before the epoch is over, so that times of operators and witnesses move together.
_LEAST_PART: Final = 0.9

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WitnessState:
    """What a witness did last: one of `asked`, `cosigns`, `ahead`, `unreachable`, `refuses`,
    `poisoned`.

    `size` and `time` (Unix seconds) are those of its last cosignature here, None before the first.
    `counts`: the board's record names it.
    """

    name: str
    state: str
    size: int | None = None
    time: int | None = None
    why: str | None = None
    counts: bool = True


class WitnessThread:
    """Asks the witness at `url`, whose lines are those by `keys`, from `start` to `stop`.

    `counts`: they go to the engine. Otherwise `shown` has them with the size that they are over.
    """

    def __init__(
        self,
        url: str,
        keys: Sequence[VerifierKey],
        *,
        engine: Cosignable,
        log: Path,
        counts: bool = True,
    ) -> None:
        self.name = keys[0].name
        self._counts = counts
        self.shown: tuple[int, tuple[NoteSignature, ...]] = 0, ()
        self._engine = engine
        self._http = HttpClient(url, timeout_s=SILENCE_S, total_s=TOTAL_S)
        self._asking = WitnessAsking(self._http, keys, engine=engine, log=log)
        self.state = WitnessState(self.name, "asked", counts=counts)
        self._wake = threading.Event()
        self._giving = threading.Lock()
        self._stopped = False
        self._failures = 0
        self._not_before = 0.0
        self._cosigned_at: float | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"fieldpost-witness-{self.name}", daemon=True
        )

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def wake(self) -> None:
        """There may be something new. From any thread; does not wait."""
        self._wake.set()

    def stop(self) -> None:
        """Ask no more; an exchange under way is left to end by itself. Does not wait."""
        self._stopped = True
        self._wake.set()

    def close(self) -> None:
        """`stop`, and the engine is given nothing once this returns. Not on the engine's thread."""
        self.stop()
        with self._giving:
            pass

    def _run(self) -> None:
        try:
            while not self._stopped:
                self._wake.wait(self._wait_s())
                self._wake.clear()
                if not self._stopped:
                    self._look()
        finally:
            self._http.close()

    def _look(self) -> None:
        try:
            head = self._engine.committed()
        except Unavailable:
            return
        if self._due_in(head) > 0:
            return
        try:
            self._give(head, self._asking.ask(head))
        except Overtaken:
            self._wake.set()
        except FieldpostError as error:
            self._fail(error)
        except Exception as bug:  # noqa: BLE001 - it costs this witness a pause, not the node
            tell(_log, "witness-bug", trace=bug)
            self._fail(Unavailable("an internal error; the log has it"))

    def _wait_s(self) -> float:
        try:
            return self._due_in(self._engine.committed())
        except Unavailable:
            return LONGEST_PAUSE_S

    def _due_in(self, head: CommittedHead) -> float:
        """Seconds until the witness should be asked."""
        now = time.monotonic()
        pause = max(self._not_before - now, 0.0)
        if self._failures or self._cosigned_at is None or self.state.size != head.checkpoint.size:
            return pause
        fresh = self._cosigned_at + _LEAST_PART * head.record.epoch_s - now
        return max(fresh, pause, 0.0)

    def _give(self, head: CommittedHead, lines: tuple[NoteSignature, ...]) -> None:
        size = head.checkpoint.size
        with self._giving:
            if self._stopped:
                return
            # Others are late; or the size was passed over meanwhile.
            if self._counts:
                with suppress(TooFew, NotFound):
                    self._engine.add_cosignatures(size, lines)
            else:
                self.shown = size, lines
        if self._failures:
            tell(_log, "witness-again", witness=self.name)
        self._failures, self._not_before = 0, 0.0
        self._cosigned_at = time.monotonic()
        moment = max(parse_cosignature(line).timestamp for line in lines)
        self.state = WitnessState(self.name, "cosigns", size, moment, counts=self._counts)

    def _fail(self, error: FieldpostError) -> None:
        before = self.state
        word = _word_of(error)
        self.state = replace(before, state=word, why=str(error))
        # A witness of several operators is ahead of each of them now and then.
        is_news = self._failures > 0 or word != "ahead"
        if is_news and (before.state, before.why) != (word, str(error)):
            tell(_log, "witness-not-had", witness=self.name, state=word, error=error)
        longest = POISONED_PAUSE_S if word == "poisoned" else LONGEST_PAUSE_S
        pause = min(FIRST_PAUSE_S * 2 ** min(self._failures, _MOST_DOUBLINGS), longest)
        asked = error.retry_after_s if isinstance(error, Unavailable) else None
        pause = max(pause, min(asked or 0, longest))
        self._failures += 1
        self._not_before = time.monotonic() + pause * random.uniform(0.75, 1.0)


def _word_of(error: FieldpostError) -> str:
    match error:
        case Inconsistent():
            return "poisoned"
        case Ahead():
            return "ahead"
        case Unavailable():
            return "unreachable"
        case _:
            return "refuses"
