# SPDX-License-Identifier: Apache-2.0
"""A mirror as an engine that takes no posts: what a node serves reads from it all the same."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future

from fieldpost.engines.base import Answer, PublishedHead, Receipt
from fieldpost.errors import NotFound, Unavailable
from fieldpost.records.policy import DevicePolicy
from fieldpost.tlog.hashing import Hash
from fieldpost.tlog.note import NoteSignature
from fieldpost.tlog.proof import prove_inclusions
from fieldpost.watch.mirror_copy import BoardCopy


class MirrorEngine:
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

    def find_receipt(self, digest: bytes) -> Receipt:
        """See Engine."""
        receipt = Receipt(*self._copy.db.find_receipt(digest))
        if receipt.size > self.published().size:
            raise NotFound("the entry is not published yet")
        return receipt

    def read_entry(self, index: int) -> bytes:
        """See Engine."""
        if not 0 <= index < self.published().size:
            raise NotFound(f"no entry {index} is published")
        return self._copy.log.read_entry(index)

    def prove(self, index: int, size: int) -> tuple[Hash, ...]:
        """See Engine."""
        return self.prove_many([index], size)[0]

    def prove_many(self, indexes: Sequence[int], size: int) -> list[tuple[Hash, ...]]:
        """See Engine."""
        for index in indexes:
            if not 0 <= index < size <= self.published().size:
                raise NotFound(f"no entry {index} in a published tree of size {size}")
        return prove_inclusions(self._copy.log.hash_reader(size), indexes=indexes, size=size)

    def links(self, record_key: bytes, since: int, *, most_bytes: int) -> list[bytes]:
        """See Engine."""
        entries: list[bytes] = []
        left = most_bytes
        for index in self._copy.db.links_since(record_key, since, size=self.published().size):
            entry = self._copy.log.read_entry(index)
            left -= len(entry)
            if left < 0 and entries:
                break
            entries.append(entry)
        return entries

    def close(self) -> None:
        """See Engine: the copy is its follower's to close."""
