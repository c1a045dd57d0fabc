# SPDX-License-Identifier: Apache-2.0
"""How long no board answered: powered time between failed attempts (docs/spec/policy.md).

A clock never counts, and any acceptable check-in ends it. The count is saved with everything else
that is saved, and by itself, so that devices which are never on for a day get there too:

- after every further day of it;
- once in each power cycle, after one of SAVE_AFTER_S, another one in each boot: whatever the usual
  length of a cycle, a part of its time is kept;
- when the agent ends in order.

The last two not within a day of the save before, as far as a clock can say (flash wear). Whatever
is lost makes the count too small, never too large.
"""

from dataclasses import replace
from typing import Final

from fieldpost.agent.memory import Memory
from fieldpost.agent.world import World
from fieldpost.checkin.freshness import trusted_clock

_DAY_S: Final = 86_400
SAVE_AFTER_S: Final = (900, 1_800, 3_600, 7_200, 14_400, 28_800)


class Isolation:
    """Counts for one boot. `isolated_s` is what earlier boots had counted and saved."""

    def __init__(self, *, world: World, least_time: int, isolated_s: int) -> None:
        self._world = world
        self._least_time = least_time
        self._begin(isolated_s)

    def _begin(self, isolated_s: int) -> None:
        # Counted before `_since`, the uptime of the first failure in a row of this boot.
        self._before_s = self._saved_s = isolated_s
        self._since: float | None = None
        self._has_saved = False

    def note_failure(self, memory: Memory) -> tuple[Memory, bool]:
        """After an attempt that failed everywhere: the memory, and whether it must be saved."""
        now = self._world.uptime()
        if self._since is None:
            self._since = now
        memory = replace(memory, isolated_s=self._before_s + int(now - self._since))
        unsaved_s = memory.isolated_s - self._saved_s
        early_s = SAVE_AFTER_S[memory.boot_count % len(SAVE_AFTER_S)]
        is_early = not self._has_saved and unsaved_s >= early_s and self._may_save(memory)
        return self._saving(memory) if unsaved_s >= _DAY_S or is_early else (memory, False)

    def note_end(self, memory: Memory) -> tuple[Memory, bool]:
        """When the agent ends in order: the memory, and whether it must be saved."""
        is_worth_it = memory.isolated_s - self._saved_s >= SAVE_AFTER_S[0]
        return self._saving(memory) if is_worth_it and self._may_save(memory) else (memory, False)

    def note_acceptable(self, memory: Memory) -> tuple[Memory, bool]:
        """After an acceptable check-in: nothing is counted any more, on the disk neither."""
        saved_s = self._saved_s
        self._begin(0)
        return replace(memory, isolated_s=0, isolation_saved_at=0), saved_s > 0

    def _saving(self, memory: Memory) -> tuple[Memory, bool]:
        self._saved_s, self._has_saved = memory.isolated_s, True
        return replace(memory, isolation_saved_at=self._clock(memory) or 0), True

    def _may_save(self, memory: Memory) -> bool:
        clock = self._clock(memory)
        return clock is None or not 0 <= clock - memory.isolation_saved_at < _DAY_S

    def _clock(self, memory: Memory) -> int | None:
        return trusted_clock(
            self._world.clock(), timestamp=memory.belief.timestamp, least_time=self._least_time
        )
