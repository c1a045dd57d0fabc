# SPDX-License-Identifier: Apache-2.0
"""The courier: brings waiting alarms to each path, again and again until the path took them.

A path that cannot be reached is left alone for ever longer, up to five minutes; one alarm that a
path refuses waits for itself, and the others go on. Each path has a thread, so a dead one holds up
no other. What waits is on the disk: a restart loses nothing, and may send an alarm twice, with the
same id.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from fieldpost.errors import FieldpostError, Unavailable
from fieldpost.journal import tell
from fieldpost.watch.monitor.memory import Memory
from fieldpost.watch.monitor.paths import AlarmPath

FIRST_WAIT_S: Final = 5
MOST_WAIT_S: Final = 300
REFUSED_WAIT_S: Final = 60
MOST_REFUSED_WAIT_S: Final = 6 * 3_600
_IDLE_S: Final = 60.0
_log: Final = logging.getLogger("fieldpost.monitor")


class Courier:
    """Delivers from `memory` by `paths`. `clock` gives Unix seconds."""

    def __init__(
        self, memory: Memory, paths: Sequence[AlarmPath], clock: Callable[[], int]
    ) -> None:
        self._memory = memory
        self._paths = tuple(paths)
        self._clock = clock
        self._news = threading.Condition()
        self._count = 0
        self._ending = False
        self.failures: dict[str, int] = {path.name: 0 for path in paths}
        self._threads = [
            threading.Thread(target=self._run, args=(path,), name=f"fieldpost {path.name}")
            for path in paths
        ]

    @property
    def names(self) -> tuple[str, ...]:
        """The paths' names."""
        return tuple(path.name for path in self._paths)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop after what is being sent; what waits stays on the disk."""
        with self._news:
            self._ending = True
            self._news.notify_all()
        for thread in self._threads:
            thread.join()

    def wake(self) -> None:
        """There may be alarms that wait."""
        with self._news:
            self._count += 1
            self._news.notify_all()

    def _run(self, path: AlarmPath) -> None:
        while not self._ending:
            seen = self._count
            wait_s = self.deliver(path)
            with self._news:
                # News cut the wait of an idle path short, and not that of one that is down.
                self._news.wait_for(
                    lambda: self._ending or (self._count != seen and not self.failures[path.name]),  # noqa: B023
                    wait_s,
                )

    def deliver(self, path: AlarmPath) -> float:
        """Send what the path owes and is due, until nothing is left or it fails.

        Returns how many seconds to wait before the next try.
        """
        while not self._ending:
            try:
                owed = self._memory.owed(path.name, self._clock(), path.most)
                if not owed:
                    return _IDLE_S
                path.send([one.alarm for one in owed])
                self._memory.delivered(path.name, [one.number for one in owed])
            except Unavailable as error:
                return self._failed(path, error)
            except FieldpostError as error:
                # Of several together nobody knows which one: each waits.
                for one in owed:
                    wait = min(REFUSED_WAIT_S * 2 ** min(one.refused, 16), MOST_REFUSED_WAIT_S)
                    self._memory.put_off(path.name, one.number, self._clock() + wait)
                tell(_log, "alarm-refused", path=path.name, error=error)
            except Exception as error:  # noqa: BLE001 - no alarm may be lost in a thread that ended
                return self._broken(path, error)
            else:
                if self.failures[path.name]:
                    tell(_log, "alarms-sent-again", path=path.name)
                self.failures[path.name] = 0
        return 0.0

    def _broken(self, path: AlarmPath, error: Exception) -> float:
        """A bug in a path ends no thread: the alarms wait, and it is said."""
        tell(_log, "alarm-not-sent", path=path.name, error=repr(error), trace=error)
        self.failures[path.name] += 1
        return float(MOST_WAIT_S)

    def _failed(self, path: AlarmPath, error: Unavailable) -> float:
        count = self.failures[path.name] = self.failures[path.name] + 1
        tell(_log, "alarm-not-sent", path=path.name, tries=count, error=error)
        wait = min(FIRST_WAIT_S * 2 ** min(count - 1, 16), MOST_WAIT_S)
        return float(max(wait, min(error.retry_after_s or 0, MOST_WAIT_S)))
