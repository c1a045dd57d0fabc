# SPDX-License-Identifier: Apache-2.0
"""The check-in verifier: steps 1 to 7 of docs/spec/check-in.md, in their order.

Whoever delivers a bundle needs no trust. Order matters: what can be forged without a key is judged
before any signature and is never an alarm; what two signed statements show is Misbehaviour, and is
only said once the signatures held. A refusal changes nothing of what is believed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fieldpost.checkin.belief import Belief, begin_on_board
from fieldpost.checkin.bundle import Bundle, decode_bundle, encode_bundle
from fieldpost.checkin.chains import (
    MissingLinks,
    Tip,
    find_board_record,
    follow_board_links,
    follow_maker_links,
)
from fieldpost.checkin.freshness import is_stale, trusted_clock
from fieldpost.checkin.quorum import only_known, verify_quorum
from fieldpost.checkin.views import view_board, view_cosigners, view_head, view_maker
from fieldpost.errors import Misbehaviour, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.records import identifiers
from fieldpost.records.head import Head
from fieldpost.records.limits import MAX_CHECKIN_BYTES, MAX_PROOF_BYTES
from fieldpost.records.state_leaf import StateLeaf, decode_state_leaf
from fieldpost.statemap.proof import verify_proof
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.proof import root_from_edge
from fieldpost.tlog.treehead import Checkpoint

EVERY_ALGORITHM: Final = frozenset(Algorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a bundle proved. Persist `belief` before acting on anything else of it.

    `value` is what the board holds under the key (None: nothing), `head` that value where it is a
    head. `timestamp` is T. `stale`: T is over max_age old, so nothing of this may be installed.
    `moved`: a chain moved. `moved_board`: `belief` is about another board, where the next check-in
    starts; nothing of this one may be installed either.
    """

    belief: Belief
    value: bytes | None
    head: Head | None
    timestamp: int
    stale: bool
    moved: bool
    moved_board: bool


def verify_bundle(
    belief: Belief,
    data: bytes,
    *,
    key: bytes,
    now: int | None,
    least_time: int = 0,
    board_links: Sequence[bytes] = (),
    maker_links: Sequence[bytes] = (),
    head: bool = True,
    algorithms: Collection[Algorithm] = EVERY_ALGORITHM,
    most_bytes: int | None = None,
) -> Verified:
    """Judge `data` as the proof of what the board holds under the map key `key` (32 bytes).

    `now` is the caller's clock in Unix seconds (None: it has none) and `least_time` what it was
    provisioned with. `head` says that the key is a channel's head: only then does step 6 run.
    `board_links` and `maker_links` are entries after the epochs that `belief` holds, oldest first;
    MissingLinks says when they are needed. `algorithms` are those that the device verifies; keys of
    others are strangers to it. `most_bytes` defaults to 5,120 for heads (a check-in with
    post-quantum cosignatures is larger: pass MAX_PROOF_BYTES) and to MAX_PROOF_BYTES otherwise.

    Raises Malformed for what is no bundle, and Untrusted with the reason of the first step that
    failed: `bad-proof` (1), `not-newer` (2, 3, 5), `board-fork`, `missing-links`, `bad-link`,
    `link-threshold` (3, 6), `no-quorum` (4), `bad-signature` (3, 4, 6), `maker-rollback`,
    `unsupported` (3, 6); Misbehaviour with evidence: `split-view` (5), `maker-fork` (6).
    """
    bundle = decode_bundle(data, most_bytes=most_bytes or _limit(is_head=head))
    leaf, checkpoint = verify_state(bundle, key, origin=identifiers.origin_of(belief.board))
    check_not_older(checkpoint.size, belief.size)
    board = follow_board(belief, leaf, board_links, algorithms)
    clock = trusted_clock(now, timestamp=belief.timestamp, least_time=least_time)

    def judge_under(maker_record: bytes) -> tuple[int, Bundle]:
        """Step 4: T, and the bundle with what was verified alone."""
        check_not_older(checkpoint.size, view_maker(maker_record).policy.least_size)
        cosigners = view_cosigners(board.record, maker_record, frozenset(algorithms))
        timestamp = verify_quorum(checkpoint, bundle.cosignatures, cosigners=cosigners, clock=clock)
        kept = only_known(bundle.cosignatures, cosigners)
        whole = kept is bundle.cosignatures
        return timestamp, bundle if whole else replace(bundle, cosignatures=kept)

    def encode(part: Bundle) -> bytes:
        # One encoding per value: encoding anew what came would give the bytes that came.
        return data if part is bundle else encode_bundle(part)

    timestamp, signed = judge_under(belief.maker_record)
    evidence = encode(signed)
    check_same_history(belief, checkpoint, timestamp, evidence)
    shown = view_head(bundle.value) if head and bundle.value is not None else None
    maker = (
        Tip(belief.maker_record, belief.maker_link)
        if shown is None
        else follow_maker(belief, shown, evidence, maker_links, algorithms)
    )
    moved = (board.record, maker.record) != (belief.board_record, belief.maker_record)
    policy = view_maker(maker.record).policy
    moved_board = policy.board != belief.board
    if moved and policy != belief.policy and not moved_board:
        timestamp, signed = judge_under(maker.record)
    same_size = checkpoint.size == belief.size and belief.root is not None
    believed = Belief(
        board=belief.board,
        board_record=board.record,
        board_link=board.link,
        maker=belief.maker,
        maker_record=maker.record,
        maker_link=maker.link,
        size=checkpoint.size,
        root=checkpoint.root,
        timestamp=max(timestamp, belief.timestamp) if same_size else timestamp,
        bundle=encode(signed if head else _statement(signed)),
    )
    return Verified(
        belief=begin_on_board(believed, policy) if moved_board else believed,
        value=bundle.value,
        head=shown,
        timestamp=timestamp,
        stale=is_stale(timestamp, now=clock, max_age_s=policy.max_age_s),
        moved=moved,
        moved_board=moved_board,
    )


def verify_state(bundle: Bundle, key: bytes, *, origin: str) -> tuple[StateLeaf, Checkpoint]:
    """Step 1: the state leaf that states the value under `key`, and the tree that ends in it.

    Says nothing about who vouches for that tree. Raises Malformed or Untrusted("bad-proof").
    """
    leaf = decode_state_leaf(bundle.state_leaf)
    verify_proof(root=leaf.map_root, key=key, value=bundle.value, path=bundle.path)
    root = root_from_edge(
        leaf_hash=leaf_hash(bundle.state_leaf), index=leaf.covered_size, edge=bundle.edge
    )
    return leaf, Checkpoint(origin, leaf.covered_size + 1, root)


def check_not_older(size: int, least: int) -> None:
    """Step 2: the tree is not smaller than one that was seen. Raises Untrusted("not-newer")."""
    if size < least:
        raise Untrusted("not-newer", f"size {size}; at least {least} was seen: ask elsewhere")


def follow_board(
    belief: Belief,
    leaf: StateLeaf,
    entries: Sequence[bytes],
    algorithms: Collection[Algorithm],
) -> Tip:
    """Step 3: the board record that is in force at the state leaf.

    Raises Untrusted: "not-newer", "board-fork", and what following links raises.
    """
    if belief.board_record:
        tip = Tip(belief.board_record, belief.board_link)
    else:
        epoch = belief.policy.board_epoch
        tip, entries = find_board_record(belief.board, entries, epoch=epoch, link=belief.board_link)
    epoch = view_board(tip.record).epoch
    if leaf.board_epoch < epoch:
        raise Untrusted("not-newer", f"board epoch {leaf.board_epoch}; mine is {epoch}")
    if leaf.board_epoch == epoch:
        if leaf.board_link != tip.link:
            raise Untrusted("board-fork", f"another board link at epoch {epoch}")
        return tip
    try:
        tip = follow_board_links(
            tip, entries, until=leaf.board_link, board=belief.board, algorithms=algorithms
        )
    except MissingLinks as missing:
        # On a new board the first record is asked for again too: it is not persisted yet.
        since = missing.since if belief.board_record else belief.policy.board_epoch - 1
        raise MissingLinks("board", since, leaf.board_link) from missing
    if view_board(tip.record).epoch != leaf.board_epoch:
        raise Untrusted("board-fork", f"the board link is not of epoch {leaf.board_epoch}")
    return tip


def check_same_history(belief: Belief, checkpoint: Checkpoint, timestamp: int, data: bytes) -> None:
    """Step 5, after the quorum held: one size has one root, and T does not fall at it.

    Raises Misbehaviour("split-view") with both bundles, or Untrusted("not-newer").
    """
    if belief.root is None or checkpoint.size != belief.size:
        return
    if checkpoint.root != belief.root:
        raise Misbehaviour(
            "split-view",
            f"two histories of size {belief.size} are cosigned",
            (belief.bundle or b"", data),
        )
    if timestamp < belief.timestamp:
        raise Untrusted("not-newer", f"T {timestamp}; {belief.timestamp} was seen at this size")


def follow_maker(
    belief: Belief,
    head: Head,
    data: bytes,
    entries: Sequence[bytes],
    algorithms: Collection[Algorithm],
) -> Tip:
    """Step 6: the maker record that the head stands under.

    Raises Untrusted("maker-rollback"), Misbehaviour("maker-fork") with the bundle and what it
    contradicts (the last one, or before the first check-in the whole belief), and what following
    links raises.
    """
    tip = Tip(belief.maker_record, belief.maker_link)
    epoch = belief.maker_view().epoch
    if head.maker_epoch < epoch:
        raise Untrusted("maker-rollback", f"maker epoch {head.maker_epoch}; mine is {epoch}")
    if head.maker_epoch == epoch:
        if head.maker_link != tip.link:
            raise Misbehaviour(
                "maker-fork",
                f"another maker link at epoch {epoch}",
                (belief.bundle or belief.encode(), data),
            )
        return tip
    tip = follow_maker_links(
        tip, entries, until=head.maker_link, maker=belief.maker, algorithms=algorithms
    )
    if view_maker(tip.record).epoch != head.maker_epoch:
        raise Untrusted("bad-link", f"the maker link is not of epoch {head.maker_epoch}")
    return tip


def _limit(*, is_head: bool) -> int:
    return MAX_CHECKIN_BYTES if is_head else MAX_PROOF_BYTES


def _statement(bundle: Bundle) -> Bundle:
    """What the cosigners vouched for, without a record that may be 64 kB long."""
    return replace(bundle, value=None, path=b"")
