# SPDX-License-Identifier: Apache-2.0
"""Advisories: `advisory.publish` (docs/spec/rules.md, advisory).

Signed by the release threshold. Advisories of a class are numbered without gaps and their count is
in the map, so a list of them can be shown to be whole. A number that exists is revised; what it
said before stays in the log.
"""

from fieldpost import cbor
from fieldpost.ledger.authority import Reach, check_role, take_nonce
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.quota import charge
from fieldpost.ledger.reading import (
    check_claims,
    read_class,
    read_class_counters,
    read_count,
    read_maker,
    read_payload,
    read_release,
)
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post
from fieldpost.records import map_keys
from fieldpost.records.advisory import Advisory, decode_advisory
from fieldpost.records.maker import Role


def decide_advisory_publish(read: Reader, post: Post, ctx: Context) -> Writes:
    """A new advisory of a class, or a revised one. Raises Rejected or Malformed."""
    advisory = read_payload(post, decode_advisory)
    class_id, number = advisory.class_id, advisory.number
    maker = read_maker(read, read_class(read, class_id).maker)
    check_claims(post, issuer=maker.id.hex(), subject=subjects.of_advisory(class_id, number))
    check_role(post, ctx, maker, Role.RELEASE, Reach(class_id=class_id))
    writes = take_nonce(read, post, maker, Role.RELEASE, advisory.nonce)
    writes |= charge(read, ctx, maker.id.hex(), Role.RELEASE)
    counted = map_keys.advisories(class_id)
    count = read_count(read, counted)
    if number > count + 1:
        raise refusal(Code.ADVISORY_NUMBER, f"number {number}; the next one is {count + 1}")
    _check_sequences(read, advisory)
    return writes | {
        map_keys.advisory(class_id, number): post.statement.payload,
        counted: cbor.encode(max(number, count)),
    }


def _check_sequences(read: Reader, advisory: Advisory) -> None:
    newest = read_class_counters(read, advisory.class_id).newest
    last = advisory.affected[-1][1]
    if last > newest:
        raise refusal(Code.UNKNOWN_RELEASE, f"sequence {last} is affected; the newest is {newest}")
    if advisory.fixed_in is not None:
        _, counters = read_release(read, advisory.class_id, advisory.fixed_in)
        if counters.withdrawn is not None:
            raise refusal(Code.WITHDRAWN, f"sequence {advisory.fixed_in}: {counters.withdrawn}")
