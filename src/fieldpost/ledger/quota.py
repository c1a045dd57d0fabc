# SPDX-License-Identifier: Apache-2.0
"""How much is posted per UTC day of batch time (docs/spec/rules.md, limits).

    charge              every post of a maker's role, and of an operator: posts and bytes
    charge_reserve      what must stay possible when a thief used the quota up: maker.set,
                        release.withdraw, halts, board.set
    charge_registration new makers, over the whole board; endorsed ones apart

Rules count, not nodes: a proposer of batches is not trusted. Limits are the board record's.
"""

from typing import Final

from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.reading import read_board
from fieldpost.records import map_keys
from fieldpost.records.counters import DailyCount

OPERATOR: Final = 0
_DAY_S: Final = 86_400


def charge(read: Reader, ctx: Context, holder: str, role: int) -> Writes:
    """The write that counts this post of `holder` in `role`. Raises Rejected(daily-limit)."""
    limits = read_board(read).limits
    key = map_keys.quota(holder, role)
    count = _count(read, ctx, key)
    if count.posts > limits.posts_per_day:
        raise refusal(Code.DAILY_LIMIT, f"{limits.posts_per_day} posts a day; wait for the next")
    if count.size > limits.bytes_per_day:
        raise refusal(Code.DAILY_LIMIT, f"{limits.bytes_per_day} bytes a day; wait for the next")
    return {key: count.encode()}


def charge_reserve(read: Reader, ctx: Context, holder: str, role: int) -> Writes:
    """As `charge`, from the reserve. Raises Rejected(daily-limit)."""
    # A reserve of nothing would forbid the very board.set that corrects it.
    most = max(read_board(read).limits.reserve_posts_per_day, 1)
    key = map_keys.reserve(holder, role)
    count = _count(read, ctx, key)
    if count.posts > most:
        raise refusal(Code.DAILY_LIMIT, f"the reserve is {most} posts a day; wait for the next")
    return {key: count.encode()}


def charge_registration(read: Reader, ctx: Context, *, endorsed: bool) -> Writes:
    """The write that counts a new maker. Raises Rejected(registration-limit)."""
    limits = read_board(read).limits
    most = limits.endorsed_registrations_per_day if endorsed else limits.registrations_per_day
    key = map_keys.registrations(int(endorsed))
    count = _count(read, ctx, key)
    if count.posts > most:
        advice = "wait for the next" if endorsed else "wait, or ask an operator to endorse you"
        raise refusal(Code.REGISTRATION_LIMIT, f"{most} such makers a day; {advice}")
    return {key: count.encode()}


def _count(read: Reader, ctx: Context, key: bytes) -> DailyCount:
    day = ctx.time // _DAY_S
    value = read.value(key)
    if value is not None and (last := DailyCount.decode(value)).day == day:
        return DailyCount(day, last.posts + 1, last.size + len(ctx.entry))
    return DailyCount(day, 1, len(ctx.entry))
