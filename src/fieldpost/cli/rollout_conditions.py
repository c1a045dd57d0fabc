# SPDX-License-Identifier: Apache-2.0
"""Options of `fieldpost rollout set` that narrow its newest offer: who takes it, and when."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import click

from fieldpost.cli.options import HexId, is_number
from fieldpost.errors import Malformed
from fieldpost.records.head import Conditions, Offer

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS: Final = (
    click.option("--not-before", type=click.DateTime(), help="UTC time of the first install."),
    click.option("--from", "from_range", metavar="MIN-MAX", help="Running sequences it is for."),
    click.option("--lot", "lots", multiple=True, type=HexId(16), help="Only this lot. Repeatable."),
    click.option("--urgency", type=click.IntRange(0, 3), help="0 = whenever, 3 = now."),
    click.option("--postpone-hours", type=click.IntRange(0), help="How long it may be put off."),
    click.option("--battery", type=click.IntRange(0, 100), help="Least battery charge in percent."),
    click.option("--external-power", is_flag=True, default=None, help="Only on external power."),
    click.option("--downtime-s", type=click.IntRange(0), help="Seconds of downtime to expect."),
    click.option("--window", metavar="HH:MM-HH:MM", help="Local time of day in which it installs."),
)


def offer_options(command: F) -> F:
    """Every option of the newest offer; the command receives them as keywords."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def is_narrowed(narrowed: Mapping[str, Any]) -> bool:
    """Whether any of these options was given."""
    return any(value is not None and value != () for value in narrowed.values())


def narrow(
    offer: Offer,
    *,
    not_before: datetime | None,
    from_range: str | None,
    lots: tuple[bytes, ...],
    urgency: int | None,
    postpone_hours: int | None,
    battery: int | None,
    external_power: bool | None,
    downtime_s: int | None,
    window: str | None,
) -> Offer:
    """The offer with what the options say. Raises Malformed."""
    conditions = Conditions(
        urgency=urgency,
        postpone_s=None if postpone_hours is None else postpone_hours * 3_600,
        battery_percent=battery,
        external_power=external_power,
        downtime_s=downtime_s,
        window=None if window is None else parse_window(window),
    )
    return replace(
        offer,
        from_range=parse_range(from_range) if from_range else None,
        not_before=None if not_before is None else _seconds(not_before),
        lots=tuple(sorted(lots)),
        conditions=None if conditions == Conditions() else conditions,
    )


def _seconds(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp())


def parse_range(text: str) -> tuple[int, int]:
    """(first, last) running sequence of `1-4`. Raises Malformed."""
    first, _, last = text.partition("-")
    if not (is_number(first) and is_number(last)) or int(first) > int(last):
        raise Malformed(f"{text!r} is no range; write MIN-MAX, for example 1-4")
    return int(first), int(last)


def parse_window(text: str) -> tuple[int, int]:
    """(begin, end) in seconds of the day of `22:00-05:30`. Raises Malformed."""
    begin, _, end = text.partition("-")
    seconds = tuple(_second_of_day(part) for part in (begin, end))
    if None in seconds or seconds[0] == seconds[1]:
        raise Malformed(f"{text!r} is no window; write for example 22:00-05:30, local time")
    return seconds[0] or 0, seconds[1] or 0


def _second_of_day(text: str) -> int | None:
    hours, _, minutes = text.partition(":")
    if not (is_number(hours) and is_number(minutes)) or int(hours) > 23 or int(minutes) > 59:
        return None
    return int(hours) * 3_600 + int(minutes) * 60
