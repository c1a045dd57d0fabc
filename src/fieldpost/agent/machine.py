# SPDX-License-Identifier: Apache-2.0
"""What runs the table of `states`: records and saves, then acts, and feeds back what happened.

Whoever builds on it says how to act. What is not on the disk did not happen, and is not acted on.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace

from fieldpost.agent import bookkeeping
from fieldpost.agent.home import Home
from fieldpost.agent.memory import Memory, save_memory
from fieldpost.agent.states import ACTING, Do, Event, step
from fieldpost.agent.world import World
from fieldpost.errors import FieldpostError, Misbehaviour
from fieldpost.records.limits import MAX_TEXT


class Machine(ABC):
    """The state of one device. `memory` is what it knows, `interval_s` the last head's interval."""

    def __init__(
        self, *, home: Home, memory: Memory, world: World, interval_s: int, most_interval_s: int
    ) -> None:
        self._home = home
        self._world = world
        self.memory = memory
        self.interval_s = interval_s
        self._most_interval_s = most_interval_s
        self._failure: FieldpostError | None = None

    def _feed(self, happened: Event) -> None:
        event: Event | None = happened
        while event is not None:
            before = self.memory
            state, effects = step(before.state, event)
            self.memory = replace(before, state=state)
            for effect in effects:
                if effect not in ACTING:
                    self._record(effect)
            if self.memory != before:
                try:
                    self._save()
                except FieldpostError:
                    # What is not on the disk did not happen, and is not acted on.
                    self.memory = before
                    raise
            event = self._act(effects[-1]) if effects and effects[-1] in ACTING else None

    def _record(self, effect: Do) -> None:
        self.memory = bookkeeping.record(
            effect,
            self.memory,
            clock=self._world.clock(),
            interval_s=self.interval_s,
            most_s=self._most_interval_s,
        )
        told = self.memory.told
        if told is not None and effect is Do.TELL_CONFIRMED:
            self._tell("confirmed", sequence=told.sequence, digests=hex_of(told.digests))
        elif told is not None and effect is Do.TELL_REVERTED:
            self._tell("reverted", sequence=told.sequence, reason=told.reason)
        elif effect is Do.KEEP_EVIDENCE and isinstance(self._failure, Misbehaviour):
            path = self._home.keep_evidence(self._failure, self.memory.belief)
            self._tell("evidence", reason=self._failure.reason, file=str(path))

    @abstractmethod
    def _act(self, effect: Do) -> Event:
        """Perform an effect of ACTING; what happened then."""

    def _guarded(self, act: Callable[[], object], done: Event) -> Event:
        try:
            act()
        except FieldpostError as failure:
            self._failure = failure
            return Event.INTERRUPTED
        return done

    def _save(self) -> None:
        self.memory = replace(self.memory, saved_at=self._world.clock())
        save_memory(self._home.memory, self.memory, disk=self._home.disk)

    def save_if_changed(self, before: Memory) -> None:
        """For a single run that a person asked for: what it learnt is shown by `status`."""
        if self.memory != before:
            self._save()

    def _tell(self, event: str, **facts: object) -> None:
        self._world.emit(event, facts)


def hex_of(digests: Iterable[bytes]) -> list[str]:
    """Digests as they are told."""
    return [digest.hex() for digest in digests]


def words_of(error: FieldpostError | None) -> str:
    """An error as a reason that is kept and shown: whoever answered may have chosen its letters."""
    text = "" if error is None else str(error)
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)[:MAX_TEXT]
