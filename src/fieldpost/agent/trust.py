# SPDX-License-Identifier: Apache-2.0
"""What the agent concludes from what it believes, was shown, and runs. Pure.

Verification itself is `fieldpost.checkin`; here stand the rules around it: which clock counts, when
what is known is too old, which offer is taken, and which failures count against a release. What a
relay can forge without a key is never an alarm, only a reason to ask elsewhere.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from fieldpost.checkin.belief import Belief, believe
from fieldpost.checkin.freshness import is_stale, trusted_clock
from fieldpost.checkin.offers import choose_offer
from fieldpost.checkin.older import GenuinelyOlder, verify_older
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.checkin.way_out import believe_links
from fieldpost.errors import Malformed, Misbehaviour, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.records import map_keys
from fieldpost.records.head import Offer
from fieldpost.records.provisioning import ProvisioningRecord

TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from a verified check-in. Without an offer, `why` says what stands against one.

    `why` is "" (nothing newer for this device), "stale", "moved-board", "failed-before" or
    "resting".
    """

    verified: Verified
    offer: Offer | None
    why: str


def believe_factory(entry: bytes) -> tuple[Belief, ProvisioningRecord]:
    """The first belief, judged by the algorithms that the record itself gives the device.

    Raises as `believe`.
    """
    _, record = believe(entry)
    return believe(entry, algorithms=record.limits.algorithms)


@dataclass(frozen=True, slots=True)
class Chain:
    """A maker's links that a device was shown, those that are new to it, and where they lead."""

    links: tuple[bytes, ...]
    belief: Belief


def follow_links(
    belief: Belief, entries: Sequence[bytes], *, algorithms: Collection[Algorithm]
) -> Chain:
    """Those of a maker's links that follow the one that is believed, and the belief after them.

    `entries` may begin anywhere in the chain. Raises as `believe_links`.
    """
    digests = [sha256(entry).digest() for entry in entries]
    known = digests.index(belief.maker_link) + 1 if belief.maker_link in digests else 0
    links = tuple(entries[known:])
    return Chain(links, believe_links(belief, links, algorithms=algorithms))


def longest_chain(chains: Sequence[Chain]) -> Chain:
    """Of several that follow one belief, the one that leads furthest.

    Raises Misbehaviour("maker-fork") with two links of one epoch: the root signed both.
    """
    longest = max(chains, key=lambda chain: len(chain.links))
    for chain in chains:
        for one, other in zip(chain.links, longest.links, strict=False):
            if one != other:
                raise Misbehaviour(
                    "maker-fork", "two links of the maker at one epoch", (one, other)
                )
    return longest


def is_too_old(
    timestamp: int, *, clock: int, least_time: int, powered_s: int, max_age_s: int
) -> bool:
    """Whether the newest accepted T (Unix seconds) is older than the policy admits.

    Where `clock` can be no clock, T and the seconds that the device was powered since T was
    accepted are a lower bound of now.
    """
    now = trusted_clock(clock, timestamp=timestamp, least_time=least_time)
    bound = timestamp + powered_s if now is None else now
    return is_stale(timestamp, now=bound, max_age_s=max_age_s)


def judge_check_in(
    belief: Belief,
    data: bytes,
    *,
    class_id: bytes,
    channel: str,
    now: int | None,
    least_time: int,
    algorithms: Collection[Algorithm],
    board_links: Sequence[bytes] = (),
    maker_links: Sequence[bytes] = (),
) -> Verified:
    """Verify a check-in for one channel under the key that the device itself computes.

    Raises Untrusted, Misbehaviour, MissingLinks and Malformed as `verify_bundle`, and for what is
    merely not newer GenuinelyOlder.
    """
    key = map_keys.head(class_id, channel)
    try:
        verified = verify_bundle(
            belief,
            data,
            key=key,
            head=True,
            now=now,
            least_time=least_time,
            algorithms=algorithms,
            board_links=board_links,
            maker_links=maker_links,
        )
    except Untrusted as refused:
        if refused.reason != "not-newer":
            raise
        raise _tell_genuine(
            refused,
            lambda: verify_older(
                belief, data, key=key, now=now, least_time=least_time, algorithms=algorithms
            ),
        ) from refused
    if verified.value is None:
        raise Untrusted("no-head", f"the board has no channel {channel} of this class")
    return verified


def _tell_genuine(refused: Untrusted, verify: Callable[[], object]) -> Untrusted:
    """What is not newer, marked where the board's quorum signed it."""
    try:
        verify()
    except (Untrusted, Malformed):
        return refused
    return GenuinelyOlder(refused.detail)


def decide(
    verified: Verified,
    *,
    running: int,
    device: bytes,
    lot: bytes | None,
    stale: bool,
    tries: Callable[[bytes, int], int],
    resting: bool,
) -> Decision:
    """Which offer a device takes, if any.

    `tries(manifest, change count)` says how often a release's own health check failed; the first
    offer that fits is the only one, so a failed one keeps the device where it is.
    """
    head = verified.head
    if head is None:
        raise AssertionError("a decision is made about a head")
    if stale or verified.stale:
        return Decision(verified=verified, offer=None, why="stale")
    if verified.moved_board:
        return Decision(verified=verified, offer=None, why="moved-board")
    offer = choose_offer(
        head, running=running, device=device, lot=lot, timestamp=verified.timestamp
    )
    if offer is None:
        return Decision(verified=verified, offer=None, why="")
    if tries(offer.manifest, head.change_count) >= TRIES:
        return Decision(verified=verified, offer=None, why="failed-before")
    if resting:
        return Decision(verified=verified, offer=None, why="resting")
    return Decision(verified=verified, offer=offer, why="")
