# SPDX-License-Identifier: Apache-2.0
"""The one place that writes a board: commit a batch, publish a size.

    commit    entry bundles and tiles durable -> state transaction, with the size
    publish   largest signed size durable -> log signature, cosignatures -> notes of older sizes
              that are still needed -> checkpoint replaced

Whatever interrupts this order, opening the board again finds a state that the log explains
(`fieldpost.engines.recovery`). After an error of `commit` a writer must be opened again before the
next one: it does not know how much of its work is on the disk. Until then, and whatever failed, it
may `publish` the size before that batch, which nothing of the batch changed.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256

from fieldpost.engines.base import CommittedHead, PublishedHead, Receipt
from fieldpost.engines.cosigner import Cosigner
from fieldpost.engines.published import PublishedHeads, TooFew, cosign_later
from fieldpost.engines.signed_heads import SignedHead, SignedHeads
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.errors import Misconfigured, NotFound, Unavailable
from fieldpost.keys import Signer, verify_signature
from fieldpost.ledger.batch import Batch, Included, LedgerState, Refused, apply_batch
from fieldpost.ledger.context import CheckSignature, Reader
from fieldpost.ledger.links import linked_record
from fieldpost.ledger.reading import read_board
from fieldpost.ledger.recent import Glance, RecentValues
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.records.board import BoardRecord, Operator
from fieldpost.records.identifiers import origin_of
from fieldpost.store.log_files import LogFiles
from fieldpost.store.state_db import StateChange, StateDb
from fieldpost.tlog.checkpoint import Checkpoint, sign_checkpoint
from fieldpost.tlog.note import NoteSignature, parse_note

# Log signer and cosigner of the keys that a record names.
ChooseKeys = Callable[[BoardRecord], tuple[Signer, Cosigner]]


class GivenAway(Unavailable):
    """The board's record names operators who vote on blocks: one node writes no more of it."""


class BoardWriter:
    """A board that is open for writing, by one thread at a time.

    `state` is what is committed, `heads` what is published (None before the first time), `signed`
    what is signed and waits for cosignatures. `committed` is the newest size that was signed here,
    `signed_at` when it was signed last.
    """

    def __init__(
        self,
        *,
        log: LogFiles,
        db: StateDb,
        state: LedgerState,
        heads: PublishedHeads | None,
        choose_keys: ChooseKeys,
        mark: SignedMark,
    ) -> None:
        self.log = log
        self.db = db
        self.state = state
        self.heads = heads
        self.signed = SignedHeads()
        self.signed_at: int | None = None
        self.committed: CommittedHead | None = None
        self._choose_keys = choose_keys
        self._mark = mark
        self._recent = RecentValues(state.map)
        # Of the size of `state`: after a batch that failed half way the log may be longer.
        self._whole = log.compact_range(), log.last_edge()
        self._operators: tuple[Operator, ...] = ()
        self._record = read_board(state.map)
        if not self._record.is_replicated:
            self._take_keys()

    def commit(
        self,
        posts: Sequence[bytes],
        *,
        time: int,
        check_signature: CheckSignature = verify_signature,
        decode: Callable[[bytes], Post] = decode_post,
    ) -> tuple[Included | Refused, ...]:
        """Apply posts as one batch and make it durable; an outcome for each post.

        Raises Unavailable, Misconfigured, GivenAway.
        """
        self.check_ours()
        batch = apply_batch(
            self.state,
            posts,
            time=time,
            check_signature=check_signature,
            decode=decode,
            read=self._recent,
        )
        if batch.entries:
            change = change_of(self._recent, self.state.size, batch, decode)
            self.log.append(batch.entries)
            self.db.commit(change, keep=self.heads.oldest_size if self.heads else 0)
            self.follow(batch.state, batch.writes)
        return batch.outcomes

    def follow(self, state: LedgerState, writes: Mapping[bytes, bytes]) -> None:
        """Stand at the state at the end of the log, everything of which is durable.

        `writes` are the map keys and values that led to it.
        """
        self._recent.follow(state.map, writes)
        # Together: whatever fails before, `publish` is of one size.
        self.state, self._whole = state, (self.log.compact_range(), self.log.last_edge())

    def publish(self, now: int) -> PublishedHead:
        """Sign and cosign the size of `state`, and replace the checkpoint.

        Also after a batch of which only the log succeeded, as if that had not been begun.

        `now`: Unix seconds; the cosignatures' time never falls. Raises TooFew where others must
        cosign too: the size waits among `signed` then. Raises Unavailable, Misconfigured.
        """
        before = self.head
        timestamp = max(now, before.timestamp if before else 0, self.signed_at or 0)
        origin = origin_of(self.state.board)
        # A board.set names who publishes the batch that carries it.
        self.check_ours()
        range_, edge = self._whole
        checkpoint = Checkpoint(origin, range_.size, range_.root())
        self._mark.record(checkpoint.size, checkpoint.root)
        signature = sign_checkpoint(checkpoint, name=origin, signer=self._signer)
        cosignatures = list(self._cosigner.cosign(checkpoint, timestamp=timestamp))
        # Who cosigned this size before and is away now still counts, at the time of then.
        if before is not None and before.size == checkpoint.size:
            cosignatures += parse_note(before.note).signatures[1:]
        waiting = self.signed.of_size(checkpoint.size)
        signed = SignedHead(
            checkpoint=checkpoint,
            signature=signature,
            lines=(*cosignatures, *(waiting.lines if waiting else ())),
            record=self._record,
            state_leaf=self.state.last.encode(),
            edge=edge,
            map=self.state.map,
        )
        try:
            head = self._publish(signed)
        except TooFew:
            self.signed_at, self.committed = timestamp, signed.committed()
            raise
        self.signed_at, self.committed = timestamp, signed.committed()
        return head

    def tidy(self) -> None:
        """Remove what a published size made needless, once nobody waits for an answer."""
        # Needless files do no harm; the next batch tries again.
        with suppress(Unavailable):
            self.log.drop_superseded()

    def check_ours(self) -> None:
        """Check that the record lets this node write: it names our keys, and orders no blocks.

        Raises GivenAway where several operators write this board now, Misconfigured.
        """
        if self._record.epoch != self.state.last.board_epoch:
            self._record = read_board(self.state.map)
        record = self._record
        if record.is_replicated:
            raise GivenAway(
                f"entry {self.log.size - 1} gave this board to the operators {self._names}: this "
                "node writes and signs nothing more. They begin with its log; what to do now: "
                "docs/operations/move-to-cluster.md"
            )
        self._take_keys()

    def _take_keys(self) -> None:
        """Sign with the keys that the record names.

        Raises Misconfigured if they are not here, GivenAway if nobody of before is in it.
        """
        if self._record.operators == self._operators:
            return
        try:
            self._signer, self._cosigner = self._choose_keys(self._record)
        except Misconfigured as error:
            before = {operator.name for operator in self._operators}
            if not before or before & {operator.name for operator in self._record.operators}:
                raise
            raise GivenAway(
                f"entry {self.log.size - 1} gave this board to {self._names}, whose keys are not "
                "here, so this node writes and signs nothing more. A single operator goes on with "
                "a copy of this log and its own keys in DATA/keys. Several would need validator "
                "keys, of which the record has none: makers move their devices to another board, "
                "see docs/guides/leave-this-board.md"
            ) from error
        self._operators = self._record.operators

    @property
    def _names(self) -> str:
        return ", ".join(operator.name for operator in self._record.operators)

    def add_cosignatures(self, size: int, lines: Sequence[NoteSignature]) -> PublishedHead:
        """Add what came late to the head of a size, published or not.

        Raises NotFound for a size that is not waited for, TooFew where it still waits for others,
        Untrusted, Unavailable.
        """
        waiting = self.signed.of_size(size)
        if waiting is not None:
            return self._publish(waiting.with_lines(lines))
        if self.heads is None:
            raise NotFound("nothing is published yet")
        head = self.heads.of_size(size)
        head = cosign_later(head, lines, read_board(head.map))
        self._show(head)
        return head

    def _publish(self, signed: SignedHead) -> PublishedHead:
        """Show a size if enough have cosigned it; else it waits. Raises TooFew."""
        try:
            head = signed.publish()
        except TooFew:
            self.signed = self.signed.with_head(signed.with_lines(()))
            raise
        self._show(head)
        self.signed = self.signed.after(head.size)
        return head

    def _show(self, head: PublishedHead) -> None:
        heads = self.heads.with_head(head) if self.heads else PublishedHeads((head,))
        older = {one.size: one.note for one in heads.heads[:-1]}
        known = {one.size: one.note for one in self.heads.heads[:-1]} if self.heads else {}
        if older != known:
            self.db.save_heads(older)
        if head is heads.newest:
            self.log.write_checkpoint(head.note)
        self.heads = heads

    @property
    def signed_size(self) -> int:
        """The largest size that this writer signed; 0 before the first."""
        return 0 if self.committed is None else self.committed.checkpoint.size

    @property
    def head(self) -> PublishedHead | None:
        """The newest published head."""
        return self.heads.newest if self.heads else None

    def find_receipts(self, digests: Sequence[bytes]) -> dict[bytes, Receipt]:
        """The receipts of those committed entries that are among these. Raises Unavailable."""
        found = self.db.find_receipts(digests)
        return {digest: Receipt(*place) for digest, place in found.items()}

    def glance(self) -> Glance:
        """The newest values, for threads that read posts ahead."""
        return self._recent.glance()

    def close(self) -> None:
        """Let go of the state database."""
        self.db.close()


def change_of(
    before: Reader | None,
    size: int,
    batch: Batch,
    decode: Callable[[bytes], Post] = decode_post,
    *,
    height: int | None = None,
) -> StateChange:
    """What the state database must learn of a batch that begins at `size` over `before`."""
    if isinstance(before, RecentValues):
        replaced = before.replaced_by(batch.state.map, batch.writes)
    else:
        replaced = {key: before.value(key) if before else None for key in batch.writes}
    posts = batch.entries[:-1]
    linked = [(linked_record(decode(entry)), index) for index, entry in enumerate(posts, size)]
    return StateChange(
        before=size,
        size=batch.state.size,
        writes=batch.writes,
        replaced=replaced,
        receipts=[(sha256(entry).digest(), index) for index, entry in enumerate(posts, size)],
        links=[(*link, index) for link, index in linked if link is not None],
        height=height,
    )
