# SPDX-License-Identifier: Apache-2.0
"""Time, as far as a device may trust its clock (docs/spec/check-in.md, time).

A clock below the stored T or the provisioned least time is no clock. Without one, T plus the time
that the device was powered is a lower bound of now: good for noticing staleness, for nothing else.
"""

from typing import Final

# How far a cosigner's clock may run ahead of mine before its timestamps no longer count.
MAX_AHEAD_S: Final = 600


def trusted_clock(now: int | None, *, timestamp: int, least_time: int) -> int | None:
    """`now` if it can be true: not below the stored T and the least time. All in Unix seconds."""
    return now if now is not None and now >= max(timestamp, least_time) else None


def is_stale(timestamp: int, *, now: int | None, max_age_s: int) -> bool:
    """Whether T is more than `max_age_s` old. `now` is a trusted clock or a lower bound of now.

    Without either (None) nothing is known to be stale.
    """
    return now is not None and timestamp < now - max_age_s
