# SPDX-License-Identifier: Apache-2.0
"""A check-in that is not newer: did the board's quorum sign it, or did anybody make it up?

Steps 2 and 3 refuse what is older before any signature is looked at, so `not-newer` alone says
nothing about who wrote it. A release on trial may be kept for having read the board, and for that
the difference matters (docs/spec/check-in.md, step 10).
"""

from collections.abc import Collection

from fieldpost.checkin.belief import Belief
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.checkin.freshness import trusted_clock
from fieldpost.checkin.quorum import verify_quorum
from fieldpost.checkin.verify import EVERY_ALGORITHM, follow_board, verify_state
from fieldpost.checkin.views import view_cosigners
from fieldpost.errors import Untrusted
from fieldpost.keys import Algorithm
from fieldpost.records import identifiers
from fieldpost.records.limits import MAX_CHECKIN_BYTES


class GenuinelyOlder(Untrusted):
    """`not-newer`, and signed by the quorum of the board as it is known."""

    def __init__(self, detail: str) -> None:
        super().__init__("not-newer", detail)


def verify_older(
    belief: Belief,
    data: bytes,
    *,
    key: bytes,
    now: int | None,
    least_time: int = 0,
    algorithms: Collection[Algorithm] = EVERY_ALGORITHM,
    most_bytes: int = MAX_CHECKIN_BYTES,
) -> int:
    """T of a bundle that proves something under `key`, whatever its size.

    Its board must be at the epoch and link that `belief` holds, and its cosignatures must satisfy
    the policy that is known. Arguments as for `verify_bundle`. Raises Malformed, Untrusted of the
    steps 1, 3 and 4.
    """
    bundle = decode_bundle(data, most_bytes=most_bytes)
    leaf, checkpoint = verify_state(bundle, key, origin=identifiers.origin_of(belief.board))
    board = follow_board(belief, leaf, (), algorithms)
    return verify_quorum(
        checkpoint,
        bundle.cosignatures,
        cosigners=view_cosigners(board.record, belief.maker_record, frozenset(algorithms)),
        clock=trusted_clock(now, timestamp=belief.timestamp, least_time=least_time),
    )
