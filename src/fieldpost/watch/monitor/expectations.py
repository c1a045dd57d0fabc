# SPDX-License-Identifier: Apache-2.0
"""What a maker expects of its own posts: a TOML file that people write and review.

    version = 1
    board = "board.example/1#…"
    [[maker]]
    id = "…32 hex digits"            size = 120        # posts before this size are not judged
    epoch = 0                        # the newest expected maker record
    kinds = ["release.publish", …]   days = ["mon", …]   hours = ["07:00-19:00"]      # UTC
    [[maker.key]]      kid = "…64 hex digits"   role = "release"   note = "…"
    [[maker.rollout]]  class = "…32 hex digits" channel = "stable" sequence = 3  percent = 25.0
    [[maker.lot]]      id = "…32 hex digits"

Everything but `id` is optional. Without `key` those keys are expected that the maker had when the
monitor began; without `epoch` no later record is, without `lot` no lot. Without `kinds`, `days`,
`hours` or `rollout` these are not restricted, and an empty list expects nothing at all.
docs/guides/monitor.md explains it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fieldpost.errors import Malformed
from fieldpost.records.identifiers import check_channel, origin_of
from fieldpost.watch.monitor.toml_table import Table, read_toml

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_EXPECTATIONS_BYTES: Final = 16 * 1024 * 1024
_MINUTES: Final = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Offers that are expected. None matches everything; `percent` of devices at most."""

    class_id: bytes | None
    channel: str | None
    sequence: int | None
    percent: float

    def covers(self, class_id: bytes, channel: str, sequence: int, percent: float) -> bool:
        """Whether an offer is within this."""
        return (
            self.class_id in (None, class_id)
            and self.channel in (None, channel)
            and self.sequence in (None, sequence)
            and percent <= self.percent + 1e-6
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What one maker expects; None as the file's absent keys. `size` 0: from the first look on."""

    maker: bytes
    name: str | None = None
    size: int = 0
    epoch: int | None = None
    keys: frozenset[bytes] | None = None
    kinds: frozenset[str] | None = None
    days: frozenset[int] | None = None
    hours: tuple[tuple[int, int], ...] | None = None
    rollouts: tuple[Allowed, ...] | None = None
    lots: frozenset[bytes] | None = None

    def is_expected_time(self, seconds: int) -> bool:
        """Whether a post may come at this Unix time."""
        moment = datetime.fromtimestamp(seconds, UTC)
        if self.days is not None and moment.weekday() not in self.days:
            return False
        minute = moment.hour * 60 + moment.minute
        return self.hours is None or any(first <= minute < end for first, end in self.hours)

    def is_expected_offer(
        self, class_id: bytes, channel: str, sequence: int, percent: float
    ) -> bool:
        """Whether a channel may offer this release to so many devices."""
        return (
            self.rollouts is None
            or percent == 0
            or any(one.covers(class_id, channel, sequence, percent) for one in self.rollouts)
        )


@dataclass(frozen=True, slots=True)
class Expectations:
    """A whole file. `board` None: of whatever board the monitor looks at."""

    board: str | None
    makers: tuple[Expected, ...]


def parse_expectations(data: bytes) -> Expectations:
    """Read the file. Raises Malformed."""
    if len(data) > MAX_EXPECTATIONS_BYTES:
        raise Malformed(f"expectations of {len(data)} bytes; at most {MAX_EXPECTATIONS_BYTES}")
    top = read_toml(data)
    if top.take("version", int) != 1:
        raise Malformed("the file must say  version = 1")
    board = top.take("board", str, None)
    if board is not None:
        origin_of(board)
    makers = tuple(_read_maker(table) for table in top.tables("maker") or ())
    top.close()
    ids = [maker.maker for maker in makers]
    if len(set(ids)) < len(ids):
        raise Malformed("a maker stands in the file twice")
    return Expectations(board, makers)


def _read_maker(table: Table) -> Expected:
    maker = table.hex("id", 16)
    assert maker is not None  # only an optional one is
    table.name = f"maker {maker.hex()}"
    keys = table.tables("key")
    rollouts = table.tables("rollout")
    lots = table.tables("lot")
    expected = Expected(
        maker=maker,
        name=table.take("name", str, None),
        size=table.count("size") or 0,
        epoch=table.count("epoch"),
        keys=None if keys is None else frozenset(_read_key(key) for key in keys),
        kinds=_set(table.texts("kinds")),
        days=_set(map(_read_day, days)) if (days := table.texts("days")) is not None else None,
        hours=tuple(map(_read_hours, hours))
        if (hours := table.texts("hours")) is not None
        else None,
        rollouts=None if rollouts is None else tuple(map(_read_rollout, rollouts)),
        lots=None if lots is None else frozenset(_read_lot(lot) for lot in lots),
    )
    table.close()
    return expected


def _read_key(table: Table) -> bytes:
    kid = table.hex("kid", 32)
    assert kid is not None
    table.take("role", str, None)
    table.take("note", str, None)
    table.close()
    return kid


def _read_lot(table: Table) -> bytes:
    lot = table.hex("id", 16)
    assert lot is not None
    table.take("note", str, None)
    table.close()
    return lot


def _read_rollout(table: Table) -> Allowed:
    percent = table.number("percent")
    if not 0 <= percent <= 100:
        raise Malformed(f"{table.name}: percent is 0 to 100")
    channel = table.take("channel", str, None)
    allowed = Allowed(
        class_id=table.hex("class", 16, optional=True),
        channel=None if channel is None else check_channel(channel),
        sequence=table.count("sequence"),
        percent=percent,
    )
    table.take("note", str, None)
    table.close()
    return allowed


def _read_day(text: str) -> int:
    if text not in DAYS:
        raise Malformed(f"{text!r} is no day; write one of {', '.join(DAYS)}")
    return DAYS.index(text)


def _read_hours(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    span = _read_minute(first), _read_minute(last)
    if not dash or span[0] >= span[1]:
        raise Malformed(f"{text!r} are no hours; write 07:00-19:00, from and until, in UTC")
    return span


def _read_minute(text: str) -> int:
    hour, colon, minute = text.partition(":")
    digits = len(hour) == len(minute) == 2 and (hour + minute).isdigit() and text.isascii()
    if not colon or not digits or int(minute) > 59 or int(hour) * 60 + int(minute) > _MINUTES:
        raise Malformed(f"{text!r} is no time of day; write 07:00")
    return int(hour) * 60 + int(minute)


def _set(values: Iterable[Any] | None) -> frozenset[Any] | None:
    return None if values is None else frozenset(values)
