# SPDX-License-Identifier: Apache-2.0
"""When to check in again, and how long to leave an image alone. Pure: chance is an argument.

Intervals come from the head and are clamped to what the provisioning record allows; jitter keeps a
fleet that was switched on together from calling together. `chance` is uniform in [0, 1).
"""

from typing import Final

_FIRST_RETRY_S: Final = 5
_JITTER: Final = 0.1
_MOST_DOUBLINGS: Final = 24


def clamp(seconds: int, *, least: int, most: int) -> int:
    """`seconds` within the provisioned bounds."""
    return max(least, min(seconds, most))


def next_check_in_s(interval_s: int, *, chance: float) -> float:
    """After a check-in: the clamped interval, a tenth more or less."""
    return interval_s * (1 - _JITTER + 2 * _JITTER * chance)


def next_retry_s(
    failures: int, *, interval_s: int, chance: float, retry_after_s: int | None = None
) -> float:
    """After `failures` ≥ 1 in a row: doubling up to the interval, at random in the upper half.

    What a server asks for with Retry-After is kept to, up to the interval and a tenth.
    """
    doubled = _FIRST_RETRY_S * 2 ** min(failures - 1, _MOST_DOUBLINGS)
    delay: float = min(doubled, interval_s) * (0.5 + chance / 2)
    if retry_after_s is not None:
        delay = max(delay, min(retry_after_s, interval_s) * (1 + _JITTER * chance))
    return delay


def rest_s(lost_trials: int, *, interval_s: int, most_s: int) -> int:
    """How long to leave an image alone after `lost_trials` ≥ 1 trials that proved nothing."""
    return int(min(interval_s * 2 ** min(lost_trials - 1, _MOST_DOUBLINGS), most_s))
