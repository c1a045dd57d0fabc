# SPDX-License-Identifier: Apache-2.0
"""What a new release must show on its trial: health, and one check-in that it verifies itself.

A check-in that is genuine and merely not newer counts: whoever verified it can reach and read the
board. What anybody without a key could have made up does not (docs/spec/check-in.md, step 10).
"""

from collections.abc import Callable

from fieldpost.agent import schedule
from fieldpost.agent.world import World
from fieldpost.checkin.older import GenuinelyOlder
from fieldpost.errors import FieldpostError, Misbehaviour


def await_check_in(
    attempt: Callable[[], None], *, world: World, within_s: float, interval_s: int
) -> FieldpostError | None:
    """Call `attempt`, which raises unless a check-in was verified, until it proves something.

    Returns None then, else the last failure, once waiting further would take over `within_s`
    seconds in all. Raises Misbehaviour at once.
    """
    deadline = world.uptime() + within_s
    failures = 0
    while True:
        try:
            attempt()
        except Misbehaviour:
            raise
        except GenuinelyOlder:
            return None
        except FieldpostError as failure:
            failures += 1
            wait = schedule.next_retry_s(failures, interval_s=interval_s, chance=world.chance())
            if world.uptime() + wait > deadline:
                return failure
            world.pause(wait)
        else:
            return None
