# SPDX-License-Identifier: Apache-2.0
"""Fleets: `fleet.summary` (docs/spec/rules.md, fleet).

Signed by one rollout key. What it says is the maker's word and no rule can judge it; the rule sees
to it that periods follow each other, end in the past, and that releases exist.
"""

from fieldpost.ledger.authority import Reach, check_role, take_nonce
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.quota import charge
from fieldpost.ledger.reading import (
    check_claims,
    read_class,
    read_maker,
    read_payload,
    read_release,
)
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post
from fieldpost.posts.fleet import decode_fleet_summary
from fieldpost.records import map_keys
from fieldpost.records.maker import Role


def decide_fleet_summary(read: Reader, post: Post, ctx: Context) -> Writes:
    """The newest summary of a class. Raises Rejected or Malformed."""
    summary = read_payload(post, decode_fleet_summary)
    class_id = summary.class_id
    maker = read_maker(read, read_class(read, class_id).maker)
    check_claims(post, issuer=maker.id.hex(), subject=subjects.of_class(class_id))
    check_role(post, ctx, maker, Role.ROLLOUT, Reach(class_id=class_id))
    writes = take_nonce(read, post, maker, Role.ROLLOUT, summary.nonce)
    writes |= charge(read, ctx, maker.id.hex(), Role.ROLLOUT)
    key = map_keys.summary(class_id)
    value = read.value(key)
    earliest = 0 if value is None else decode_fleet_summary(value).end
    if summary.start < earliest or summary.end > ctx.time:
        raise refusal(
            Code.PERIOD,
            f"{summary.start}…{summary.end}; it begins at {earliest} or later and ends by "
            f"{ctx.time}",
        )
    for sequence in summary.outcomes:
        read_release(read, class_id, sequence)
    return writes | {key: post.statement.payload}
