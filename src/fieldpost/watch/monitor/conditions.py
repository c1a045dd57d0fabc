# SPDX-License-Identifier: Apache-2.0
"""What lasts: alarmed once when it begins and once when it is over, also over restarts."""

from collections.abc import Mapping, Sequence
from typing import Final

from fieldpost.watch.monitor.alarm import Alarm
from fieldpost.watch.monitor.memory import Memory

PENDING: Final = "pending "


class Conditions:
    """The conditions of one board at `now`, in a transaction that the caller has begun.

    `raised` counts new alarms.
    """

    def __init__(self, memory: Memory, board: str, paths: Sequence[str], now: int) -> None:
        self._memory = memory
        self._board = board
        self._paths = paths
        self._now = now
        self._since = memory.conditions()
        self.raised = 0

    def holds(self, name: str) -> bool:
        """Whether a condition was alarmed and is not over."""
        return name in self._since

    def set(
        self,
        name: str,
        kind: str,
        holds: bool,  # noqa: FBT001 - what this is about
        text: str,
        facts: Mapping[str, object] | None = None,
        *,
        after_s: int = 0,
    ) -> None:
        """Say whether a condition holds now. With `after_s` it must have held for so long."""
        lasted = not after_s or self._lasted(PENDING + name, holds, after_s)
        if holds and not lasted:
            return
        since = self._since.get(name)
        if holds and since is None:
            self._memory.begin(name, self._now)
            self._since[name] = self._now
            self._tell(name, kind, text, facts or {}, self._now, over=False)
        elif not holds and since is not None:
            self._memory.end(name)
            del self._since[name]
            self._tell(name, kind, text, facts or {}, since, over=True)

    def _lasted(self, name: str, holds: bool, after_s: int) -> bool:  # noqa: FBT001
        since = self._since.get(name)
        if not holds:
            if since is not None:
                self._memory.end(name)
                del self._since[name]
            return False
        if since is None:
            self._memory.begin(name, self._now)
            since = self._since[name] = self._now
        return self._now - since >= after_s

    def _tell(
        self,
        name: str,
        kind: str,
        text: str,
        facts: Mapping[str, object],
        since: int,
        *,
        over: bool,
    ) -> None:
        alarm = Alarm(
            kind=kind,
            board=self._board,
            text=text,
            at=self._now,
            over=over,
            about=f"{name} since {since}",
            facts=facts,
        )
        self.raised += len(self._memory.raise_alarms([alarm], self._paths))
