# SPDX-License-Identifier: Apache-2.0
"""What stands in for a check that was switched off: the same function, and it lets all pass.

Each replaces one function of the ledger, the encodings, the agent, the fleet or the node, by
`defences.without` alone. It does the rest of the work of what it replaces, so that an attack that
succeeds does so for want of that one check.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fieldpost import cbor
from fieldpost.agent import states
from fieldpost.agent.download import unpack
from fieldpost.agent.states import Do, Event, State
from fieldpost.engines.clock_guard import ClockGuard
from fieldpost.engines.head_reserve import HeadReserve
from fieldpost.identity.report import Report, verify_report
from fieldpost.ledger import authority, domains
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.reading import read_release
from fieldpost.node.api.requests import stream_body
from fieldpost.node.crowd import Crowd, Guest
from fieldpost.node.room import Room
from fieldpost.node.spool import Spooled
from fieldpost.posts.attestation import MakerAttest
from fieldpost.posts.envelope import Post
from fieldpost.posts.permit import Permit, SignedPermit
from fieldpost.posts.rollout import RolloutSet
from fieldpost.records.board import BoardRecord, Operator
from fieldpost.records.counters import DailyCount, ReleaseCounters
from fieldpost.records.device_class import Encoding
from fieldpost.records.head import Offer
from fieldpost.tlog.hashing import Hash
from fieldpost.tlog.proof import root_from_edge


def keep_no_reserve(data: Path, _wanted_bytes: int, **named: Any) -> HeadReserve:
    """Nothing is kept for heads."""
    return HeadReserve(data, 0, **named)


def any_nonce(_read: Reader, key: bytes, nonce: int) -> Writes:
    """A nonce is used up, whichever it is."""
    return {key: cbor.encode(nonce)}


def nothing_posted(_read: Reader, ctx: Context, _key: bytes) -> DailyCount:
    """As if this were the first post of its day."""
    return DailyCount(ctx.time // 86_400)


def without_memory(read: Reader, offer: Offer, rollout: RolloutSet, _floor: int) -> ReleaseCounters:
    """An offer without its history: no salt was fixed, and no cohort ever grew."""
    _, counters = read_release(read, rollout.class_id, offer.sequence)
    return replace(counters, salt=None, highest={})


def one_operator(post: Post, ctx: Context, board: BoardRecord, *, needed: int) -> Operator:
    """One operator is enough to attest."""
    return authority.check_operators(post, ctx, board, needed=min(needed, 1))


def attest_to_anybody(read: Reader, payload: MakerAttest, *, time: int, **_named: bool) -> Writes:
    """A domain goes to whoever it is attested to last."""
    return domains.attest(read, payload, time=time, is_quorum=True)


def first_hashes(*, leaf_hash: Hash, index: int, edge: Sequence[Hash]) -> Hash:
    """The edge without what was padded to it."""
    return root_from_edge(leaf_hash=leaf_hash, index=index, edge=edge[: index.bit_count()])


def read_any_map(data: bytes, at: int, count: int, depth: int) -> tuple[cbor.Value, int]:
    """A map in any order; of a key that stands twice the last one counts."""
    result: dict[cbor.Key, cbor.Value] = {}
    for _ in range(count):
        key, at = cbor._read(data, at, depth)  # noqa: SLF001
        assert isinstance(key, int | str | bytes)
        result[key], at = cbor._read(data, at, depth)  # noqa: SLF001
    return result, at


def unpack_all(path: Path, encoding: Encoding, *, most_bytes: int) -> Iterator[bytes]:
    """Everything that comes out of an archive, whatever was signed."""
    return unpack(path, encoding, most_bytes=max(most_bytes, 2**40))


def trust_the_healthy(state: State, event: Event) -> tuple[State, tuple[Do, ...]]:
    """A trial that passed its health check is confirmed, without any check-in."""
    if (state, event) == (State.TRIAL, Event.HEALTHY):
        return State.CONFIRMING, (Do.CONFIRM,)
    return states.step(state, event)


def for_any_board(data: bytes, key: Any, *, board: str | None = None, **named: Any) -> Report:
    """A report, whichever board it names."""
    return verify_report(data, key, board=None if board else board, **named)


def never_seen(_database: Any, _device: bytes) -> None:
    """As if no report of the device had come yet."""


class _EveryName:
    """A list of names in which every name stands."""

    def __contains__(self, _name: object) -> bool:
        return True


EVERY_NAME = _EveryName()


def any_permit(shown: SignedPermit, _key: Any, **_named: Any) -> Permit:
    """What a permit says, whoever signed it."""
    return shown.permit


def everybody_enters(crowd: Crowd, guest: Guest, client: str) -> bool:
    """A connection stays, however many its client has."""
    crowd._clients[client] = crowd._clients.get(client, 0) + 1  # noqa: SLF001 - it stands in
    crowd._count += 1  # noqa: SLF001 - it stands in
    crowd.wait(guest)
    return True


def patiently(request: Any, *, total_s: float, **limits: Any) -> AsyncIterator[bytes]:
    """A body that may drip for ever."""
    return stream_body(request, total_s=total_s + 1e9, **limits)


def all_of_it(request: Any, *, most_bytes: int, **limits: Any) -> AsyncIterator[bytes]:
    """A body of any length."""
    return stream_body(request, most_bytes=most_bytes + 2**40, **limits)


def nobody_leaves(_room: Room[Any]) -> list[Guest]:
    """Whatever is held, there is room."""
    return []


async def hold_in_memory(spooled: Spooled, body: AsyncIterator[bytes]) -> None:
    """All leaves of a lot, before any is written."""
    spooled.append(b"".join([part async for part in body]))


def read_any_clock(guard: ClockGuard, *, last: int) -> int:
    """What the clock says."""
    del last
    return guard._clock()  # noqa: SLF001 - it stands in for `read`
