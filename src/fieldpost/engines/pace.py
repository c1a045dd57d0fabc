# SPDX-License-Identifier: Apache-2.0
"""How long an engine waits for more posts, so that many share what a batch and a wake-up cost.

Two do the work of a board: the interpreter, whose threads take turns, and the processes that
verify. Where many senders each wait for an answer before they post again, both have work all the
time only if posts go round in two halves: one is committed while the other is verified. So

    posts are read      not at each one's coming, but a moment later, all that came meanwhile, and
                        no more than half of what is on its way, if they are many
    a batch begins      when half of what is on its way is verified, and those who were answered
                        have posted again, or as many of either as suffice: the thread that commits
                        leaves the others little of the interpreter, so whoever comes later is
                        verified only after the batch

Where few posts are on their way none of them waits for another. Every wait ends by itself, after
some milliseconds; that for others to post again ends before when nobody uses the interpreter.
"""

import time
from collections.abc import Callable
from math import inf
from typing import Final

# So many clients that take turns share their batches; of fewer, nobody's post waits.
MANY: Final = 4
# Within some 60 µs the interpreter takes in a post: this gathers a quarter of those on their way.
_GATHER_EACH_S: Final = 16e-6
GATHER_S: Final = 0.006
# Fewer at once cost more, in batches and wake-ups, than two halves save.
_LEAST_TO_READ: Final = 64
# As many share well what a batch costs.
_MOST_AWAITED: Final = 200
# As many keep the verifying processes at work while a batch is committed.
_MOST_AHEAD: Final = 512
# A batch waits no longer for posts beyond its first one.
PACE_S: Final = 0.05
# Whoever waits for the very last of those who post again waits for one who went away.
_MOST_SHARE: Final = 7 / 8
_LOOK_S: Final = 0.004
# Of a processor: if no more was used, the interpreter is idle.
_LEAST_SHARE: Final = 1 / 4


class Pace:
    """The pace of one engine. `uptime` gives seconds, `used` those of a processor used so far.

    `ask`, `admit_s`, `patience_s` and `begin` are for the engine's thread, in this order for each
    batch; the others for the thread that reads, with the number of posts that wait for answers.
    """

    def __init__(
        self,
        *,
        uptime: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        self._uptime = uptime
        self._used = used
        self._flow = 0
        self._until = -inf
        self._looked = 0.0, 0.0

    def gather_s(self, waiting: int) -> float:
        """How long to wait for others before a post is read."""
        many = self._on_their_way(waiting)
        return 0 if many < MANY else min(many * _GATHER_EACH_S, GATHER_S)

    def most_to_read(self, waiting: int) -> int:
        """How many posts to read at once."""
        return max(self._on_their_way(waiting) // 2, _LEAST_TO_READ)

    def ask(self) -> None:
        """What was collected before is dealt with, and the next batch asked for."""
        now = self._uptime()
        self._until = now + PACE_S
        self._looked = now, self._used()

    def admit_s(self, read: int) -> float:
        """How long to wait for more to be read, beyond `read` posts, and then to ask again.

        0 when as many are as before or as suffice, or nobody used the interpreter since this was
        asked.
        """
        now, used = self._uptime(), self._used()
        before, used_before = self._looked
        flow = self._on_their_way(0)
        if flow < MANY or read >= min(flow * _MOST_SHARE, _MOST_AHEAD):
            return 0
        if now - before >= _LOOK_S:
            if used - used_before < (now - before) * _LEAST_SHARE:
                return 0
            self._looked = now, used
        return min(self._until - now, _LOOK_S)

    def patience_s(self, verified: int) -> float:
        """How long a batch of so many posts may wait for more to be verified."""
        flow = self._on_their_way(0)
        if flow < MANY or verified >= min(flow / 2, _MOST_AWAITED):
            return 0
        return max(self._until - self._uptime(), 0)

    def begin(self, count: int) -> None:
        """A batch begins; `count` posts are on their way, its own among them."""
        self._flow = count
        self._until = inf

    def _on_their_way(self, waiting: int) -> int:
        """Those who wait, or who did when the last batch began, if they were answered just now."""
        return max(self._flow, waiting) if self._uptime() < self._until else waiting
