# SPDX-License-Identifier: Apache-2.0
"""The boards that a witness follows: it cosigns only what their own operators' quorum cosigned.

Which quorum that is, is said by the state leaf of the very checkpoint: it names a board record by
the digest of its link, and the chain of links proves the record from the board id on, each link
signed by the quorum before it. So whoever delivers links and state leaves need not be trusted, and
no single operator can make a witness cosign a fork (docs/spec/witness.md).
"""

from collections.abc import Sequence
from hashlib import sha256
from threading import Lock
from typing import Final

from fieldpost.checkin.chains import MissingLinks, Tip, find_board_record, follow_board_links
from fieldpost.checkin.views import view_board
from fieldpost.errors import Untrusted
from fieldpost.keys import Accepts
from fieldpost.posts.envelope import decode_post
from fieldpost.records.board import BoardRecord
from fieldpost.records.identifiers import origin_of
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.records.state_proof import StateProof
from fieldpost.tlog.checkpoint import Checkpoint
from fieldpost.tlog.note import NoteSignature
from fieldpost.tlog.policy import Group, Policy, Witness
from fieldpost.watch.witness.judging import BoardPlace
from fieldpost.watch.witness.logs import KnownLog

MOST_LINKS: Final = 16_384


class FollowedBoard:
    """One board and the links that are known of it. Safe from any thread."""

    def __init__(self, board: str, links: Sequence[bytes] = (), url: str | None = None) -> None:
        self.board = board
        self.origin = origin_of(board)
        self.url = url
        self._lock = Lock()
        self._tips: dict[bytes, Tip] = {}
        self._logs: dict[bytes, KnownLog] = {}
        self._entries: list[bytes] = []
        self._epoch = -1
        self.learn(links)

    @property
    def epoch(self) -> int:
        """The newest epoch of which the link is known; -1 while none is."""
        return self._epoch

    @property
    def links(self) -> tuple[bytes, ...]:
        """Every link that is known, in the order in which they came: by epoch, without forks."""
        return tuple(self._entries)

    def learn(self, entries: Sequence[bytes]) -> list[bytes]:
        """Take links, oldest first; those that were new, each proven by the ones before.

        Raises Malformed, Untrusted, MissingLinks for one that follows no known link. What was
        proven before the bad one is kept.
        """
        fresh: list[bytes] = []
        with self._lock:
            for entry in entries:
                digest = sha256(entry).digest()
                if digest not in self._tips:
                    if len(self._tips) >= MOST_LINKS:
                        raise Untrusted("bad-link", f"a chain of more than {MOST_LINKS} links")
                    self._take(digest, self._prove(entry, digest))
                    self._entries.append(entry)
                    fresh.append(entry)
        return fresh

    def verify(
        self, note: bytes, state: StateProof | None, quick_yes: Accepts | None = None
    ) -> tuple[Checkpoint, tuple[NoteSignature, ...], BoardPlace]:
        """The checkpoint, the lines that count, and the place of its state leaf.

        Raises MissingLinks where the leaf names a link that is not known, Malformed, Untrusted as
        `KnownLog.verify` does, and "bad-proof" for a state leaf that is missing or another tree's.
        """
        if state is None:
            raise Untrusted(
                "bad-proof",
                "a board's checkpoint needs its state leaf and edge in the header Fieldpost-State",
            )
        # The leaf says whose signatures count; that it is this checkpoint's is checked after them.
        place = _place_of(state)
        log = self._logs.get(place.link)
        if log is None:
            raise MissingLinks("board", self._epoch, place.link)
        checkpoint, lines = log.verify(note, quick_yes)
        state.verify(checkpoint)
        return checkpoint, lines, place

    def newest_log(self) -> KnownLog | None:
        """The log as the newest known record describes it."""
        logs = list(self._logs.values())
        return logs[-1] if logs else None

    def _prove(self, entry: bytes, digest: bytes) -> Tip:
        post = decode_post(entry)
        if post.statement.kind == "genesis":
            return find_board_record(self.board, [entry], epoch=0, link=digest)[0]
        record = view_board(post.statement.payload)
        before = self._tips.get(record.previous or b"")
        if before is None:
            raise MissingLinks("board", self._epoch, record.previous or b"")
        return follow_board_links(before, [entry], until=digest, board=self.board)

    def _take(self, digest: bytes, tip: Tip) -> None:
        record = view_board(tip.record)
        self._tips[digest] = tip
        self._logs[digest] = log_of(record, self.url)
        self._epoch = max(self._epoch, record.epoch)


def _place_of(state: StateProof) -> BoardPlace:
    leaf = decode_state_leaf(state.leaf)
    return BoardPlace(epoch=leaf.board_epoch, link=leaf.board_link)


def log_of(record: BoardRecord, url: str | None = None) -> KnownLog:
    """A board as its record describes it: any operator's log key, and a quorum of operators."""
    members = tuple(
        Witness(f"{number}-{place}", key)
        for number, operator in enumerate(record.operators)
        for place, key in enumerate(operator.cosigner_keys)
    )
    # One vote for each operator, whichever of its keys cosigned.
    votes = tuple(
        Group(f"operator-{number}", 1, tuple(w.name for w in members if _is_of(w, number)))
        for number, _ in enumerate(record.operators)
    )
    names = tuple(vote.name for vote in votes)
    return KnownLog(
        record.origin,
        tuple(operator.log_key for operator in record.operators),
        url,
        Policy(
            witnesses=members,
            groups=(*votes, Group("operators", record.quorum, names)),
            quorum="operators",
        ),
    )


def _is_of(witness: Witness, number: int) -> bool:
    return witness.name.partition("-")[0] == str(number)
