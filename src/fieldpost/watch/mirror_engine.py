# SPDX-License-Identifier: Apache-2.0
"""A mirror as an engine that takes no posts: what a node serves reads from it all the same."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future

from fieldpost.engines.base import Answer, PublishedHead, Receipt
from fieldpost.engines.reading import PublishedLog, PublishedReads
from fieldpost.errors import Unavailable
from fieldpost.records.policy import DevicePolicy
from fieldpost.tlog.note import NoteSignature
from fieldpost.watch.mirror_copy import BoardCopy


class MirrorEngine(PublishedReads):
    """An `Engine` over a copy that has a published head. `elsewhere` says where posts are taken.

    `trouble` gives what keeps the mirror from being up to date; None for nothing.
    """

    def __init__(
        self, copy: BoardCopy, *, elsewhere: str, trouble: Callable[[], str | None]
    ) -> None:
        self._copy = copy
        self._elsewhere = elsewhere
        self._trouble = trouble
        self._subscribers: list[Callable[[PublishedHead], None]] = []
        assert copy.state is not None  # it has a head
        self._board = copy.state.board

    @property
    def board(self) -> str:
        """See Engine."""
        return self._board

    def _refusal(self) -> Unavailable:
        return Unavailable(f"this is a mirror, which takes nothing in: {self._elsewhere}")

    def submit(self, entry: bytes) -> Future[Receipt]:  # noqa: ARG002 - the port's
        """See Engine: Unavailable, with where to post instead."""
        future: Future[Receipt] = Future()
        future.set_exception(self._refusal())
        return future

    def submit_many(
        self, entries: Sequence[bytes], done: Callable[[Sequence[Answer]], None]
    ) -> None:
        """See Engine: as `submit`."""
        done([self._refusal()] * len(entries))

    def published(self, policy: DevicePolicy | None = None) -> PublishedHead:
        """See Engine."""
        heads = self._copy.heads
        assert heads is not None  # it had a head from the beginning
        return heads.newest if policy is None else heads.satisfying(policy)

    def add_cosignatures(self, size: int, lines: Sequence[NoteSignature]) -> PublishedHead:  # noqa: ARG002 - the port's
        """See Engine: cosignatures come with the sources' checkpoints alone."""
        raise self._refusal()

    def cosigned(self, size: int) -> bytes:
        """See Engine."""
        heads = self._copy.heads
        assert heads is not None  # it had a head from the beginning
        return heads.of_size(size).note

    def when_cosigned(self, size: int, call: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002 - the port's
        """See Engine: no other operator waits for this one."""
        call()
        return lambda: None

    def check_ready(self) -> None:
        """See Engine: whether the mirror is up to date, as far as it can know."""
        trouble = self._trouble()
        if trouble is not None:
            raise Unavailable(trouble)

    @property
    def waiting(self) -> int:
        """See Engine."""
        return 0

    def observe(self, *, commit: Callable[[float], None], publish: Callable[[float], None]) -> None:
        """See Engine: nothing is committed here."""

    def subscribe(self, callback: Callable[[PublishedHead], None]) -> None:
        """See Engine; on the thread that follows the board."""
        self._subscribers.append(callback)

    def tell(self) -> None:
        """Something new is published."""
        for callback in self._subscribers:
            callback(self.published())

    @property
    def published_log(self) -> PublishedLog:
        """See PublishedReads."""
        return PublishedLog(self._copy.log, self._copy.db, self.published().size)

    def close(self) -> None:
        """See Engine: the copy is its follower's to close."""
