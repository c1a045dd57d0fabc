# SPDX-License-Identifier: Apache-2.0
"""One batch: posts in, entries and writes out (docs/spec/log.md, batches).

    accepted posts, in order ‖ one state leaf

The rules are those of the version that the board record names before the batch. A post sees what
earlier posts of its batch wrote; a refused one leaves nothing. A batch in which no post was
accepted adds nothing to the log. Time never runs backwards: it is the larger of what is given and
the last state leaf's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fieldpost.errors import Malformed, Misconfigured, Rejected
from fieldpost.keys import verify_signature
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import CheckSignature, Context, Overlay, Reader, Writes
from fieldpost.ledger.reading import find_link, read_board
from fieldpost.ledger.rules import VERSIONS, Rules, Versions
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.records import map_keys
from fieldpost.records.state_leaf import StateLeaf
from fieldpost.statemap import StateMap


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerState:
    """A board after a batch. `size` counts the log's entries; the last one is `last`."""

    map: StateMap
    size: int
    board: str
    last: StateLeaf


@dataclass(frozen=True, slots=True)
class Included:
    """The post was accepted; it is entry `index` of the log."""

    index: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The post was refused: `code` is a number of `codes.Code`, `name` its label."""

    code: int
    name: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a batch did. `entries` and `writes` are empty where no post was accepted.

    `outcomes` has one item for every post given, in order.
    """

    state: LedgerState
    entries: tuple[bytes, ...]
    outcomes: tuple[Included | Refused, ...]
    writes: Writes


def apply_batch(
    state: LedgerState,
    posts: Sequence[bytes],
    *,
    time: int,
    check_signature: CheckSignature = verify_signature,
    decode: Callable[[bytes], Post] = decode_post,
    read: Reader | None = None,
    versions: Versions = VERSIONS,
) -> Batch:
    """Apply `posts` in order at `time` (Unix seconds). No post makes it raise.

    `check_signature`, `decode` and `read` (of `state.map`) are for callers that did this work
    earlier, elsewhere; they must agree with the defaults. Raises Misconfigured if the board's rule
    version is not in `versions`.
    """
    rules = rules_in_force(state, versions)
    time = max(time, state.last.time)
    writes: Writes = {}
    overlay = Overlay(state.map if read is None else read, writes)
    accepted: list[bytes] = []
    outcomes: list[Included | Refused] = []
    for entry in posts:
        context = Context(
            board=state.board,
            time=time,
            entry=entry,
            previous_map_root=state.last.map_root,
            check_signature=check_signature,
        )
        try:
            writes.update(decide(rules, overlay, decode(entry), context))
        except Rejected as error:
            outcomes.append(Refused(error.code, error.name, error.detail))
        except Malformed as error:
            outcomes.append(Refused(int(Code.MALFORMED), Code.MALFORMED.label, str(error)))
        else:
            outcomes.append(Included(state.size + len(accepted)))
            accepted.append(entry)
    if not accepted:
        return Batch(state=state, entries=(), outcomes=tuple(outcomes), writes={})
    after = close_batch(
        state.map.update(writes),
        board=state.board,
        before=state.size,
        accepted=len(accepted),
        time=time,
    )
    return Batch(
        state=after,
        entries=(*accepted, after.last.encode()),
        outcomes=tuple(outcomes),
        writes=writes,
    )


def decide(rules: Rules, read: Reader, post: Post, ctx: Context) -> Writes:
    """The writes of one post by the rule of its kind. Raises Rejected or Malformed."""
    _check_audience(post, ctx)
    kind = post.statement.kind
    rule = rules.get(kind)
    if rule is None:
        raise refusal(Code.UNKNOWN_KIND, f"no rule for {kind}")
    successor = read_board(read).successor_origin
    if successor is not None and kind != "board.set":
        raise refusal(Code.CLOSED, f"this board is closed; post to {successor}")
    return rule(read, post, ctx)


def _check_audience(post: Post, ctx: Context) -> None:
    audience = post.statement.audience
    if audience != ctx.board:
        raise refusal(Code.WRONG_BOARD, f"aud is {audience}, this board is {ctx.board}")


def close_batch(
    after: StateMap, *, board: str, before: int, accepted: int, time: int
) -> LedgerState:
    """The state whose map is `after`, in a log of `before` entries plus `accepted` posts.

    Its `last` is the state leaf that says so, and the next entry of the log.
    """
    link = find_link(after, map_keys.board())
    assert link is not None  # genesis wrote it
    leaf = StateLeaf(
        covered_size=before + accepted,
        map_root=after.root,
        key_count=len(after),
        previous_state_index=before - 1 if before else None,
        time=time,
        board_epoch=link.epoch,
        board_link=link.digest,
    )
    return LedgerState(map=after, size=before + accepted + 1, board=board, last=leaf)


def rules_in_force(state: LedgerState, versions: Versions = VERSIONS) -> Rules:
    """The rules for the batch after `state`. Raises Misconfigured where they are unknown here."""
    version = read_board(state.map).rule_version
    if version not in versions:
        known = ", ".join(map(str, sorted(versions)))
        raise Misconfigured(
            f"the board's rules are version {version}, this program knows {known}: upgrade"
        )
    return versions[version]
