# SPDX-License-Identifier: Apache-2.0
"""Answers to posts that are in the log and not published yet.

A receipt is given only for what is published. Where that takes witnesses, answers are held until
they have cosigned; who waits too long is told that the same bytes may be sent again.
"""

from collections.abc import Sequence
from threading import Lock
from typing import Final

from fieldpost.engines.base import Answer, Receipt
from fieldpost.engines.intake import Waiting
from fieldpost.errors import Unavailable

Answers = list[tuple[Waiting, Answer]]
HELD_S: Final = 60.0
_RETRY_S: Final = 5


class HeldAnswers:
    """Answers with the size that must be published before they are given. For any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: list[tuple[float, int, Waiting, Receipt]] = []

    def sort(self, answers: Sequence[tuple[Waiting, Answer]], *, size: int, now: float) -> Answers:
        """Those that may be given while `size` is published; the others are held from `now` on."""
        ready: Answers = []
        late: list[tuple[float, int, Waiting, Receipt]] = []
        for waiting, answer in answers:
            if isinstance(answer, Receipt) and answer.size > size:
                late.append((now, answer.size, waiting, answer))
            else:
                ready.append((waiting, answer))
        if late:
            with self._lock:
                self._held += late
        return ready

    def release(self, size: int) -> Answers:
        """Those that may be given now that `size` is published."""
        with self._lock:
            if not self._held:
                return []
            due = [item for item in self._held if item[1] <= size]
            self._held = [item for item in self._held if item[1] > size]
        return [(waiting, answer) for _, _, waiting, answer in due]

    def give_up(self, why: str, *, before: float) -> Answers:
        """Those that are held since earlier than `before`, as Unavailable."""
        with self._lock:
            due = [item for item in self._held if item[0] < before]
            self._held = [item for item in self._held if item[0] >= before]
        late = Unavailable(f"the post is in the log and not published yet: {why}", _RETRY_S)
        return [(waiting, late) for _, _, waiting, _ in due]
