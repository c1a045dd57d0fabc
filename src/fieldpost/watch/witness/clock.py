# SPDX-License-Identifier: Apache-2.0
"""The time that a witness vouches for: it never goes back, and a strange clock stops the witness.

A cosignature says "the largest tree that I had seen by T". One that was made while the clock was
wrong stays for ever, so a clock that moved by more than a day against uptime, or lies more than ten
minutes behind the last cosignature of a log, is not believed.
"""

from collections.abc import Callable
from typing import Final

from fieldpost.errors import Unavailable

MOST_JUMP_S: Final = 86_400
MOST_BEHIND_S: Final = 600


class WitnessClock:
    """Reads `clock` (Unix seconds) and compares it with `uptime` (seconds since any moment)."""

    def __init__(self, clock: Callable[[], int], uptime: Callable[[], float]) -> None:
        self._clock = clock
        self._uptime = uptime
        self._offset = clock() - uptime()

    def read(self, *, last: int) -> int:
        """The time to cosign at, at least `last`: that of the log's last cosignature.

        Raises Unavailable that says what to do.
        """
        now = self._clock()
        offset = now - self._uptime()
        if abs(offset - self._offset) > MOST_JUMP_S:
            raise Unavailable(
                f"the witness's clock jumped by {offset - self._offset:.0f} s: set it right, or "
                "accept it by restarting the witness"
            )
        # Slow corrections of a clock are no jump, however far they add up.
        self._offset = offset
        if now < last - MOST_BEHIND_S:
            raise Unavailable(
                f"the witness's clock is {last - now} s behind its last cosignature: set it right; "
                "if it is right, cosigning goes on once it has come there"
            )
        return max(now, last, 1)
