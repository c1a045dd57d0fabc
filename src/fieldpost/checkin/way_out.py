# SPDX-License-Identifier: Apache-2.0
"""Leaving a board that no longer answers: the maker's links without a bundle (docs/spec/policy.md).

A policy is normally taken together with a bundle that passes under the old one (`verify`). After
`grace` of isolation, or when a person acts on the device, it is taken from the maker's links alone:
the price is that from then on the device trusts its maker's root alone. What counts as isolation
(powered time with failed attempts on every known URL) is counted by the caller.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from hashlib import sha256

from fieldpost.checkin.belief import Belief, begin_on_board
from fieldpost.checkin.chains import MissingLinks, Tip, follow_maker_links
from fieldpost.checkin.views import view_maker
from fieldpost.keys import Algorithm


def is_grace_over(grace_s: int, isolated_s: int) -> bool:
    """Whether `isolated_s` of powered, failed attempts suffice; a grace of 0 is never over."""
    return 0 < grace_s <= isolated_s


def believe_links(
    belief: Belief,
    maker_links: Sequence[bytes],
    *,
    algorithms: Collection[Algorithm] = frozenset(Algorithm),
) -> Belief:
    """The belief after **all** of `maker_links`, each signed by old and new root threshold.

    If the last one's policy names another board, size, root and T start anew there; the sequence
    that the device runs never does. On the same board they stay. Raises what following links
    raises, and MissingLinks for no links at all.
    """
    if not maker_links:
        raise MissingLinks("maker", belief.maker_view().epoch, belief.maker_link)
    tip = follow_maker_links(
        Tip(belief.maker_record, belief.maker_link),
        maker_links,
        until=sha256(maker_links[-1]).digest(),
        maker=belief.maker,
        algorithms=algorithms,
    )
    policy = view_maker(tip.record).policy
    after = replace(belief, maker_record=tip.record, maker_link=tip.link)
    return after if policy.board == belief.board else begin_on_board(after, policy)
