# SPDX-License-Identifier: Apache-2.0
"""Whether an offer's conditions let a device install now (docs/spec/check-in.md). Pure.

How long an update may be put off stands in `postponement`; its urgency and the expected downtime
are for the owner's `consent` command.
"""

from fieldpost.agent.world import Power
from fieldpost.identity.outcome import Outcome
from fieldpost.records.head import Conditions


def find_hindrance(
    conditions: Conditions | None, *, second_of_day: int, power: Power
) -> tuple[Outcome, str] | None:
    """What to report instead of installing, and why; None if nothing hinders.

    `second_of_day` is local. A device without a battery has power.
    """
    if conditions is None:
        return None
    if conditions.window is not None and not _within(conditions.window, second_of_day):
        return Outcome.POSTPONED, "outside the offer's window"
    least = conditions.battery_percent
    if least is not None and power.battery_percent is not None and power.battery_percent < least:
        return Outcome.LOW_POWER, f"battery at {power.battery_percent} %, needed {least} %"
    if conditions.external_power and not power.external:
        return Outcome.LOW_POWER, "the offer needs external power"
    return None


def _within(window: tuple[int, int], second: int) -> bool:
    first, last = window
    # A window may lie across midnight.
    return first <= second <= last if first <= last else second >= first or second <= last
