# SPDX-License-Identifier: Apache-2.0
"""What an engine has published, who hears of it, and whose answers wait for it.

Where the board's record demands witnesses, a size that was signed waits for their cosignatures, and
the answers to its posts with it, while batches go on. When too many sizes wait there is no `room`
for another batch.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from fieldpost.engines.base import Answer, CommittedHead, PublishedHead
from fieldpost.engines.held_answers import HELD_S, Answers, HeldAnswers
from fieldpost.engines.intake import Waiting
from fieldpost.engines.published import PublishedHeads, TooFew
from fieldpost.engines.writer import BoardWriter
from fieldpost.errors import NotFound, Unavailable
from fieldpost.journal import tell
from fieldpost.records.policy import DevicePolicy
from fieldpost.tlog.note import NoteSignature

SHORT_S: Final = 10.0
_RETRY_S: Final = 1
H = TypeVar("H")

_log = logging.getLogger(__name__)


def _ignore(_seconds: float) -> None:
    """Nobody observes."""


class Publication:
    """The published heads of one engine. `uptime` gives seconds since any moment.

    Methods that take a writer are called by whoever may write; the others from any thread.
    """

    def __init__(self, uptime: Callable[[], float]) -> None:
        self.heads: PublishedHeads | None = None
        self.committed: CommittedHead | None = None
        self.observe: Callable[[float], None] = _ignore
        self.subscribers: list[Callable[[PublishedHead], None]] = []
        self.cosigners: list[Callable[[CommittedHead], None]] = []
        self.room = threading.Event()
        self.room.set()
        self._uptime = uptime
        self._held = HeldAnswers()
        self._short: tuple[float, str] | None = None

    def find(self, policy: DevicePolicy | None = None) -> PublishedHead:
        """The newest head, or the newest that satisfies a policy. Raises Unavailable."""
        heads = self.heads
        if heads is None:
            raise Unavailable(f"nothing is published yet: {self.missing}", _RETRY_S)
        return heads.newest if policy is None else heads.satisfying(policy)

    def note_of(self, size: int) -> bytes:
        """The note of a published size that is kept. Raises NotFound."""
        if self.heads is None:
            raise NotFound("nothing is published yet")
        return self.heads.of_size(size).note

    @property
    def missing(self) -> str:
        """What the newest signed size waits for."""
        return self._short[1] if self._short else "it is not signed"

    def check(self) -> None:
        """Raises Unavailable while a size waits longer than witnesses should take."""
        short = self._short
        if short is not None and self._uptime() - short[0] > SHORT_S:
            raise Unavailable(f"too few have cosigned: {short[1]}")

    def publish(self, writer: BoardWriter, now: int) -> None:
        """Sign the newest size, and publish it if that is enough. Raises Unavailable."""
        began = time.monotonic()
        try:
            head = writer.publish(now)
        except TooFew as error:
            self._note_missing(writer, error)
        else:
            self.observe(time.monotonic() - began)
            self._show(writer, head)
        if writer.committed is not None:
            self.committed = writer.committed
            self._call(self.cosigners, writer.committed)

    def add_cosignatures(
        self, writer: BoardWriter, size: int, lines: Sequence[NoteSignature]
    ) -> PublishedHead:
        """Take cosignatures from outside. Raises as `Engine.add_cosignatures`."""
        try:
            head = writer.add_cosignatures(size, lines)
        except TooFew as error:
            self._note_missing(writer, error)
            raise
        self._show(writer, head)
        return head

    def sort(self, answers: Sequence[tuple[Waiting, Answer]]) -> Answers:
        """The answers that may be given now; receipts for what is not published are held."""
        size = self.heads.newest.size if self.heads else 0
        return self._held.sort(answers, size=size, now=self._uptime())

    def release(self) -> Answers:
        """The held answers that may be given by now: published, or held for too long."""
        size = self.heads.newest.size if self.heads else 0
        late = self._held.give_up(self.missing, before=self._uptime() - HELD_S)
        return [*self._held.release(size), *late]

    def _note_missing(self, writer: BoardWriter, error: TooFew) -> None:
        since = self._short[0] if self._short else self._uptime()
        self._short = since, str(error)
        if writer.signed.is_full:
            self.room.clear()

    def _show(self, writer: BoardWriter, head: PublishedHead) -> None:
        self.heads = writer.heads
        if not writer.signed.heads:
            self._short = None
        elif self._short is not None:
            self._short = self._uptime(), self._short[1]
        self.room.set()
        self._call(self.subscribers, head)

    def _call(self, callbacks: Sequence[Callable[[H], None]], head: H) -> None:
        for callback in callbacks:
            try:
                callback(head)
            except Exception as bug:  # noqa: BLE001 - a reader's bug is no reason to stop writing
                tell(_log, "subscriber-failed", trace=bug)
