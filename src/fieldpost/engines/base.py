# SPDX-License-Identifier: Apache-2.0
"""The port of every engine: posts in, receipts out, published heads to read from.

Committed means durable and log-signed; published means that the board's quorum has cosigned it.
Only what is published is ever shown, and a receipt is given only for what is published. The same
posts in the same batches lead to the same root, whichever engine ordered them.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from fieldpost.engines.head_reserve import HeadReserve
from fieldpost.errors import FieldpostError
from fieldpost.records.board import BoardRecord
from fieldpost.records.policy import DevicePolicy
from fieldpost.statemap import StateMap
from fieldpost.tlog.checkpoint import Checkpoint
from fieldpost.tlog.cosignature import Cosignature
from fieldpost.tlog.hashing import Hash
from fieldpost.tlog.note import NoteSignature, VerifierKey


@dataclass(frozen=True, slots=True)
class Receipt:
    """A post is entry `index`; the log had `size` entries after its batch."""

    index: int
    size: int


Answer = Receipt | FieldpostError
"""What becomes of a post: a receipt, or the error that `Engine.submit` raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedHead:
    """A published size with all that check-ins are built from.

    `note` is the signed checkpoint, `state_leaf` the last entry, `edge` its inclusion path,
    `map` the state map whose root the state leaf names. `timestamp` is the largest t, in Unix
    seconds, such that the cosignatures with timestamp ≥ t satisfy the board record. `witnesses`
    are those of the record that have cosigned this size, `awaited` those that have not.
    """

    checkpoint: Checkpoint
    note: bytes
    state_leaf: bytes
    edge: tuple[Hash, ...]
    cosignatures: tuple[Cosignature, ...]
    map: StateMap
    timestamp: int
    witnesses: frozenset[VerifierKey] = frozenset()
    awaited: frozenset[VerifierKey] = frozenset()

    @property
    def size(self) -> int:
        """The published size of the log."""
        return self.checkpoint.size


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedHead:
    """What cosigners from outside are asked about: a durable size, published or not.

    `note` has the log's signature and every cosignature so far, `record` is the board record of
    the size's own state.
    """

    checkpoint: Checkpoint
    note: bytes
    state_leaf: bytes
    edge: tuple[Hash, ...]
    record: BoardRecord


class Engine(Protocol):
    """What a node, a fleet's health check or a test needs of an engine. Safe from any thread."""

    @property
    def board(self) -> str:
        """The board id."""
        ...

    def submit(self, entry: bytes) -> Future[Receipt]:
        """Queue one post. The future resolves once the post is durable and published.

        It raises Rejected (code 1 for malformed bytes) where the rules say no; Unavailable, with
        `retry_after_s` where the queue is full: the same bytes may be sent again at any time and
        give the same receipt.
        """
        ...

    def submit_many(
        self, entries: Sequence[bytes], done: Callable[[Sequence[Answer]], None]
    ) -> None:
        """`submit` for posts that come together: `done` is called once, with all their answers.

        On the engine's thread, which it must not hold up, or at once where nothing is taken. For
        those who wait for many posts a future for each costs more than the ledger.
        """
        ...

    def published(self, policy: DevicePolicy | None = None) -> PublishedHead:
        """The newest published head; with a maker's policy, the newest that satisfies it.

        A policy may demand witnesses whose cosignatures are late, so it may be served a smaller
        size than others. Raises Unavailable while no size satisfies it.
        """
        ...

    def add_cosignatures(self, size: int, lines: Sequence[NoteSignature]) -> PublishedHead:
        """Take cosignatures over a published size that came after it was published.

        They may be over a size that waits to be published; then this publishes it, or raises
        Unavailable while they are too few, and keeps them. The head of that size is returned.
        Raises NotFound for a size that was passed over or that no policy needs any more,
        Untrusted("bad-signature"), Unavailable.
        """
        ...

    def cosigned(self, size: int) -> bytes:
        """A note with everything that is signed here over a size, which need not be published.

        Raises NotFound for a size of which nothing is signed, or kept any more.
        """
        ...

    def when_cosigned(self, size: int, call: Callable[[], None]) -> Callable[[], None]:
        """Make `call` once this operator has signed `size` or a larger one, on any thread.

        At once where there is nothing to wait for. What is given back forgets the call.
        """
        ...

    def check_ready(self) -> None:
        """Check that posts can be written now. Raises Unavailable that says why not."""
        ...

    @property
    def waiting(self) -> int:
        """Posts that were taken and are not answered yet."""
        ...

    def observe(self, *, commit: Callable[[float], None], publish: Callable[[float], None]) -> None:
        """Tell from now on how many seconds each commit of a batch and each publishing took."""
        ...

    def subscribe(self, callback: Callable[[PublishedHead], None]) -> None:
        """Call `callback` with every head that is published from now on, on the engine's thread."""
        ...

    def find_receipt(self, digest: bytes) -> Receipt:
        """The receipt of the entry with this SHA-256. Raises NotFound if none is published."""
        ...

    def read_entry(self, index: int) -> bytes:
        """A published entry. Raises NotFound."""
        ...

    def prove(self, index: int, size: int) -> tuple[Hash, ...]:
        """The inclusion path of an entry in the tree of a published `size`. Raises NotFound."""
        ...

    def prove_many(self, indexes: Sequence[int], size: int) -> list[tuple[Hash, ...]]:
        """`prove` for several entries, which reads each tile once."""
        ...

    def links(self, record_key: bytes, since: int, *, most_bytes: int) -> list[bytes]:
        """The published link entries of a record (by map key) with epoch > `since`, in order.

        As many of them as `most_bytes` hold, but at least one if there is one.
        """
        ...

    def close(self) -> None:
        """Take no more posts, finish those that were taken, and let go of the disk."""
        ...


class WritingEngine(Engine, Protocol):
    """An engine that writes a board: its sizes may need outside witnesses."""

    @property
    def cosignable(self) -> "Cosignable":
        """Where outside witnesses' lines go."""
        ...

    @property
    def reserve(self) -> HeadReserve:
        """The room on the disk that is kept for heads."""
        ...


class Cosignable(Protocol):
    """What an engine offers to whoever asks outside witnesses for it. Safe from any thread."""

    def committed(self) -> CommittedHead:
        """The newest size that is signed, and cosigned by the operators' quorum.

        Raises Unavailable while there is none.
        """
        ...

    def subscribe_committed(self, callback: Callable[[CommittedHead], None]) -> None:
        """Call `callback` with every such size from now on, and with those signed again."""
        ...

    def committed_links(self, since: int, *, most_bytes: int) -> list[bytes]:
        """The board's link entries with epoch > `since` that are committed, as `Engine.links`."""
        ...

    def add_cosignatures(self, size: int, lines: Sequence[NoteSignature]) -> PublishedHead:
        """See Engine."""
        ...
