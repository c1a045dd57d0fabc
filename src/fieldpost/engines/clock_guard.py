# SPDX-License-Identifier: Apache-2.0
"""When the machine's clock is too strange to write by.

Batch times are for ever and never run backwards, so one batch written while the clock was wrong
would keep the board in the future. A clock that moved by more than a day against uptime, or that
lies more than ten minutes behind the last batch, stops writing until somebody looked.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from fieldpost.errors import Unavailable

MOST_JUMP_S: Final = 86_400
MOST_BEHIND_S: Final = 600


class ClockGuard:
    """Reads `clock` (Unix seconds) and compares it with `uptime` (seconds since any moment)."""

    def __init__(self, clock: Callable[[], int], uptime: Callable[[], float]) -> None:
        self._clock = clock
        self._uptime = uptime
        self._offset = clock() - uptime()

    def read(self, *, last: int) -> int:
        """The time to write by. `last` is that of the last batch. Raises Unavailable."""
        now = self._clock()
        offset = now - self._uptime()
        if abs(offset - self._offset) > MOST_JUMP_S:
            raise Unavailable(
                f"the clock jumped by {(offset - self._offset) / 3_600:.1f} h against uptime: set "
                "it right, or accept it by restarting the node"
            )
        if now < last - MOST_BEHIND_S:
            raise Unavailable(
                # No number that moves: whoever asks every second tells the same thing once.
                "the clock is behind the last batch: set it right; if it is right, posts are taken "
                f"again once it has come to {datetime.fromtimestamp(last, UTC):%FT%TZ}, and no "
                "restart helps"
            )
        # Slow corrections of a clock are no jump, however far they add up.
        self._offset = offset
        return now

    def accept(self) -> None:
        """Somebody looked: take the clock as it is now."""
        self._offset = self._clock() - self._uptime()
