# SPDX-License-Identifier: Apache-2.0
"""A log judged from its entries alone: every state leaf must be what the rules make of the posts.

This is what a cosigner, an auditor and a node that lost its database do. Nothing in a log is
believed: a post that the rules refuse, or a leaf that states another map, stops the replay.
"""

from collections.abc import Callable, Iterable, Iterator

from fieldpost.errors import Malformed, Rejected, Untrusted
from fieldpost.keys import verify_signature
from fieldpost.ledger.batch import Batch, LedgerState, Refused, apply_batch
from fieldpost.ledger.context import CheckSignature
from fieldpost.ledger.genesis import apply_genesis
from fieldpost.ledger.recent import RecentValues
from fieldpost.ledger.rules import VERSIONS, Versions
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.records.state_leaf import decode_state_leaf, is_state_leaf


def replay(
    state: LedgerState | None,
    entries: Iterable[bytes],
    check_signature: CheckSignature = verify_signature,
    versions: Versions = VERSIONS,
) -> LedgerState:
    """The state after `entries`, which follow `state` (None: they begin with genesis).

    Raises what `replay_batches` raises, and Untrusted("incomplete-log") for no entries at all.
    """
    for batch in replay_batches(state, entries, check_signature, versions):
        state = batch.state
    if state is None:
        raise Untrusted("incomplete-log", "a log begins with genesis")
    return state


def replay_batches(
    state: LedgerState | None,
    entries: Iterable[bytes],
    check_signature: CheckSignature = verify_signature,
    versions: Versions = VERSIONS,
    decode: Callable[[bytes], Post] = decode_post,
) -> Iterator[Batch]:
    """The batches of `entries` one by one, each judged before it is given.

    Each is judged by the rule version that was in force then; `versions` are those known here.
    `check_signature` and `decode` are for callers that did this work ahead; they must agree with
    the defaults.

    Raises Untrusted: "refused-post" (the log holds what the rules refuse), "wrong-state" (a leaf
    is not what they make), "incomplete-log" (posts without a leaf). Raises Malformed for a leaf
    that does not parse, Misconfigured for a rule version that is unknown here.
    """
    posts: list[bytes] = []
    recent = None if state is None else RecentValues(state.map)
    for entry in entries:
        if not is_state_leaf(entry):
            posts.append(entry)
            continue
        if state is None or recent is None:
            batch = _replay_genesis(posts, decode_state_leaf(entry).time, check_signature)
            recent = RecentValues(batch.state.map)
        else:
            batch = apply_batch(
                state,
                posts,
                time=decode_state_leaf(entry).time,
                check_signature=check_signature,
                decode=decode,
                read=recent,
                versions=versions,
            )
            recent.follow(batch.state.map, batch.writes)
        _check_same(batch, posts, entry, 0 if state is None else state.size)
        state, posts = batch.state, []
        yield batch
    if posts:
        raise Untrusted("incomplete-log", f"{len(posts)} posts without a state leaf")


def _check_same(batch: Batch, posts: list[bytes], leaf: bytes, size: int) -> None:
    for index, outcome in enumerate(batch.outcomes, size):
        if isinstance(outcome, Refused):
            raise Untrusted("refused-post", f"entry {index}: {outcome.name} ({outcome.detail})")
    if batch.entries != (*posts, leaf):
        raise Untrusted("wrong-state", f"the rules do not lead to the leaf {leaf.hex()}")


def _replay_genesis(posts: list[bytes], time: int, check_signature: CheckSignature) -> Batch:
    if not posts:
        raise Untrusted("incomplete-log", "a log begins with genesis")
    try:
        return apply_genesis(posts[0], time=time, check_signature=check_signature)
    except (Malformed, Rejected) as error:
        raise Untrusted("refused-post", f"entry 0: {error}") from error
