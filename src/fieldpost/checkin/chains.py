# SPDX-License-Identifier: Apache-2.0
"""Chains of links: how the records that devices hold are replaced (docs/spec/check-in.md).

    board.set    quorum of the operators that the record before names (governance keys)
    maker.set    root threshold of the record before and of the new one

Every link carries epoch + 1, the SHA-256 of the entry before, and as audience the board that the
record before lived on. A chain must end exactly at a digest that a verified bundle states, so who
delivers the links need not be trusted. Operators' possession of new keys is the ledger's business.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from fieldpost.checkin.thresholds import by_kid, check_threshold, verify_signers
from fieldpost.checkin.views import view_board, view_maker
from fieldpost.errors import Untrusted
from fieldpost.keys import Algorithm
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.records import identifiers
from fieldpost.tlog.hashing import leaf_hash

_EVERY_ALGORITHM: Final = frozenset(Algorithm)
LEAST_PART_BYTES: Final = 65_536
"""An answer to `?since=` with so many bytes may be only the next part of the chain: ask again with
the epoch of its last link. A shorter one ends it (docs/spec/http.md)."""


class MissingLinks(Untrusted):
    """The chain of a record goes on, and its links are not here: fetch them and call again.

    `record` says whose, `since` the epoch after which to ask, `digest` where they must end.
    """

    def __init__(self, record: Literal["board", "maker"], since: int, digest: bytes) -> None:
        super().__init__("missing-links", f"{record} links after epoch {since}")
        self.record: Literal["board", "maker"] = record
        self.since = since
        self.digest = digest


@dataclass(frozen=True, slots=True)
class Tip:
    """Where a chain stands: the payload of its last link, and the SHA-256 of that link's entry."""

    record: bytes
    link: bytes


def find_board_record(
    board: str, entries: Sequence[bytes], *, epoch: int, link: bytes
) -> tuple[Tip, Sequence[bytes]]:
    """The board record whose entry hashes to `link`, and the entries after it.

    This is how a device begins on a board that it moved to.

    The digest comes from a policy that the maker's root signed, so no signature is asked for.
    Raises MissingLinks if none of `entries` is it, Malformed, Untrusted("bad-link").
    """
    digests = [sha256(entry).digest() for entry in entries]
    if link not in digests:
        raise MissingLinks("board", epoch - 1, link)
    at = digests.index(link)
    entry = entries[at]
    post = decode_post(entry)
    record = view_board(post.statement.payload)
    origin = identifiers.origin_of(board)
    is_genesis = identifiers.board_id(origin, leaf_hash(entry)) == board
    if post.statement.kind != "genesis" or not is_genesis:
        _check_claims(post, kind="board.set", subject=origin, audience=board)
    if (record.origin, record.epoch) != (origin, epoch):
        raise Untrusted("bad-link", "the board record is not the one that the policy names")
    return Tip(post.statement.payload, link), entries[at + 1 :]


def follow_board_links(
    tip: Tip,
    entries: Sequence[bytes],
    *,
    until: bytes,
    board: str,
    algorithms: Collection[Algorithm] = _EVERY_ALGORITHM,
) -> Tip:
    """The board record at the link `until`, each link signed by the quorum before it.

    `entries` begin after `tip`; what follows `until` is ignored. Raises MissingLinks, Malformed,
    Untrusted("bad-link" | "bad-signature" | "link-threshold" | "unsupported").
    """
    start = view_board(tip.record).epoch

    def step(before: Tip, post: Post) -> None:
        _check_board_link(before, post, board, algorithms)

    return _follow(tip, entries, until, step, MissingLinks("board", start, until))


def follow_maker_links(
    tip: Tip,
    entries: Sequence[bytes],
    *,
    until: bytes,
    maker: bytes,
    algorithms: Collection[Algorithm] = _EVERY_ALGORITHM,
) -> Tip:
    """The maker record at the link `until`, each link signed by old and new root threshold.

    `entries` begin after `tip`; what follows `until` is ignored. Raises MissingLinks, Malformed,
    Untrusted("bad-link" | "bad-signature" | "link-threshold" | "unsupported").
    """
    start = view_maker(tip.record).epoch

    def step(before: Tip, post: Post) -> None:
        _check_maker_link(before, post, maker, algorithms)

    return _follow(tip, entries, until, step, MissingLinks("maker", start, until))


def _follow(
    tip: Tip,
    entries: Sequence[bytes],
    until: bytes,
    step: Callable[[Tip, Post], None],
    missing: MissingLinks,
) -> Tip:
    for entry in entries:
        if tip.link == until:
            break
        post = decode_post(entry)
        step(tip, post)
        tip = Tip(post.statement.payload, sha256(entry).digest())
    if tip.link != until:
        raise missing
    return tip


def _check_board_link(
    before: Tip, post: Post, board: str, algorithms: Collection[Algorithm]
) -> None:
    old = view_board(before.record)
    governance = by_kid((operator.governance_key for operator in old.operators), algorithms)
    check_threshold(
        verify_signers(post, governance),
        governance,
        old.quorum,
        reason="link-threshold",
        what="the operators",
    )
    _check_claims(post, kind="board.set", subject=old.origin, audience=board)
    new = view_board(post.statement.payload)
    if new.origin != old.origin:
        raise Untrusted("bad-link", f"the link is of {new.origin}, not {old.origin}")
    _check_place(before, old.epoch, epoch=new.epoch, previous=new.previous)


def _check_maker_link(
    before: Tip, post: Post, maker: bytes, algorithms: Collection[Algorithm]
) -> None:
    old = view_maker(before.record)
    new = view_maker(post.statement.payload)
    old_roots = by_kid((entry.key for entry in old.root.keys), algorithms)
    new_roots = by_kid((entry.key for entry in new.root.keys), algorithms)
    signers = verify_signers(post, old_roots | new_roots)
    for roots, needed, what in (
        (old_roots, old.root.threshold, "the old root keys"),
        (new_roots, new.root.threshold, "the new root keys"),
    ):
        check_threshold(signers, roots, needed, reason="link-threshold", what=what)
    _check_claims(
        post,
        kind="maker.set",
        subject=subjects.of_maker(maker),
        audience=old.policy.board,
        issuer=maker.hex(),
    )
    _check_place(before, old.epoch, epoch=new.epoch, previous=new.previous)


def _check_claims(
    post: Post, *, kind: str, subject: str, audience: str, issuer: str | None = None
) -> None:
    statement = post.statement
    if (statement.kind, statement.subject) != (kind, subject):
        raise Untrusted("bad-link", f"a {statement.kind} about {statement.subject}")
    if statement.audience != audience:
        raise Untrusted("bad-link", f"a link for {statement.audience}, not {audience}")
    if issuer is not None and statement.issuer != issuer:
        raise Untrusted("bad-link", f"a link of {statement.issuer}, not {issuer}")


def _check_place(before: Tip, last: int, *, epoch: int, previous: bytes | None) -> None:
    if epoch != last + 1 or previous != before.link:
        raise Untrusted("bad-link", f"epoch {epoch} does not follow this link of epoch {last}")
