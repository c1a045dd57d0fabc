# SPDX-License-Identifier: Apache-2.0
"""Posts of this node that CometBFT has and that are not answered yet.

sent ─► settled by a block ─► published ─► answered
  └─ sent again while no block has it; given up after a while, which loses nothing
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from fieldpost.engines.base import Answer, Receipt
from fieldpost.engines.intake import Waiting
from fieldpost.errors import FieldpostError, Rejected, Unavailable
from fieldpost.ledger.batch import Refused

SEND_AGAIN_S: Final = 5.0
LATE_S: Final = 10.0
GIVE_UP_S: Final = 25.0
_RETRY_S: Final = 5


@dataclass(slots=True)
class _Sent:
    """A post on its way. Whoever sends it again meanwhile waits for the same end."""

    entry: bytes
    began: float
    sent: float
    waiting: list[Waiting] = field(default_factory=list)
    receipt: Receipt | None = None


class Outstanding:
    """The posts on their way, by digest. For any thread; `now` is uptime in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._posts: dict[bytes, _Sent] = {}

    def add(self, posts: Iterable[Waiting], *, now: float) -> list[bytes]:
        """Wait for these; the entries of those that are not on their way already, in order."""
        fresh: list[bytes] = []
        with self._lock:
            for waiting in posts:
                digest = waiting.read.digest
                sent = self._posts.get(digest)
                if sent is None:
                    sent = self._posts[digest] = _Sent(waiting.read.entry, now, now)
                    fresh.append(waiting.read.entry)
                sent.waiting.append(waiting)
        return fresh

    def included(self, receipts: Iterable[tuple[bytes, Receipt]]) -> None:
        """These are in the log, and answered once that is published."""
        with self._lock:
            for digest, receipt in receipts:
                if (sent := self._posts.get(digest)) is not None:
                    sent.receipt = receipt

    def refused(self, outcomes: Iterable[tuple[bytes, Refused]]) -> list[tuple[Waiting, Answer]]:
        """The rules said no; an answer for everybody who waits."""
        answers: list[tuple[Waiting, Answer]] = []
        with self._lock:
            for digest, refusal in outcomes:
                sent = self._posts.get(digest)
                if sent is not None and sent.receipt is None:
                    del self._posts[digest]
                    rejected = Rejected(refusal.code, refusal.name, refusal.detail)
                    answers.extend((waiting, rejected) for waiting in sent.waiting)
        return answers

    def published(self, size: int) -> list[tuple[Waiting, Answer]]:
        """The log is published up to `size`: receipts for all in it."""
        answers: list[tuple[Waiting, Answer]] = []
        with self._lock:
            for digest, sent in list(self._posts.items()):
                if sent.receipt is not None and sent.receipt.size <= size:
                    del self._posts[digest]
                    answers.extend((waiting, sent.receipt) for waiting in sent.waiting)
        return answers

    def failed(
        self, digests: Iterable[bytes], error: FieldpostError
    ) -> list[tuple[Waiting, Answer]]:
        """CometBFT did not take these; they may be sent again at any time."""
        answers: list[tuple[Waiting, Answer]] = []
        with self._lock:
            for digest in digests:
                sent = self._posts.pop(digest, None)
                if sent is not None:
                    answers.extend((waiting, error) for waiting in sent.waiting)
        return answers

    def trouble(self, now: float) -> str | None:
        """What to say while posts wait for too long; None while they do not."""
        with self._lock:
            waited = max((now - sent.began for sent in self._posts.values()), default=0.0)
        if waited < LATE_S:
            return None
        return (
            f"a post waits for {waited:.0f} s to be ordered and cosigned: too few operators answer "
            "each other; it goes on by itself once they do"
        )

    def overdue(self, now: float) -> tuple[list[bytes], list[tuple[Waiting, Answer]]]:
        """What to send again, and answers for those that no block took in time."""
        again: list[bytes] = []
        answers: list[tuple[Waiting, Answer]] = []
        with self._lock:
            for digest, sent in list(self._posts.items()):
                if now - sent.began >= GIVE_UP_S:
                    del self._posts[digest]
                    answers.extend((waiting, _given_up(sent)) for waiting in sent.waiting)
                elif sent.receipt is None and now - sent.sent >= SEND_AGAIN_S:
                    sent.sent = now
                    again.append(sent.entry)
        return again, answers


def _given_up(sent: _Sent) -> Unavailable:
    where = "is in the log, but not yet published" if sent.receipt else "was not ordered"
    return Unavailable(
        f"the post {where} after {GIVE_UP_S:.0f} s: too few operators answer each other; send the "
        "same bytes again, here or to another operator",
        _RETRY_S,
    )
