# SPDX-License-Identifier: Apache-2.0
"""The one place that writes a board: commit a batch, publish a size.

    commit    entry bundles and tiles durable -> state transaction, with the size
    publish   largest signed size durable -> log signature, cosignatures -> checkpoint replaced

Whatever interrupts this order, opening the board again finds a state that the log explains
(`fieldpost.engines.recovery`). After an error of `commit` a writer must be thrown away and opened
again: it does not know how much of its work is on the disk. `publish` may be tried again.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256

from fieldpost.engines.base import PublishedHead, Receipt
from fieldpost.engines.cosigner import Cosigner
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.errors import Unavailable
from fieldpost.keys import Signer, verify_signature
from fieldpost.ledger.batch import Batch, Included, LedgerState, Refused, apply_batch
from fieldpost.ledger.context import CheckSignature
from fieldpost.ledger.links import linked_record
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.records.identifiers import origin_of
from fieldpost.statemap import StateMap
from fieldpost.store.log_files import LogFiles
from fieldpost.store.state_db import StateChange, StateDb
from fieldpost.tlog.checkpoint import Checkpoint, format_checkpoint, sign_checkpoint
from fieldpost.tlog.cosignature import parse_cosignature
from fieldpost.tlog.note import Note, format_note


class BoardWriter:
    """A board that is open for writing, by one thread at a time.

    `state` is what is committed, `head` what is published (None before the first time).
    """

    def __init__(
        self,
        *,
        log: LogFiles,
        db: StateDb,
        state: LedgerState,
        head: PublishedHead | None,
        signer: Signer,
        cosigner: Cosigner,
        mark: SignedMark,
    ) -> None:
        self.log = log
        self.db = db
        self.state = state
        self.head = head
        self._signer = signer
        self._cosigner = cosigner
        self._mark = mark

    def commit(
        self,
        posts: Sequence[bytes],
        *,
        time: int,
        check_signature: CheckSignature = verify_signature,
        decode: Callable[[bytes], Post] = decode_post,
    ) -> tuple[Included | Refused, ...]:
        """Apply posts as one batch and make it durable; an outcome for each post.

        Raises Unavailable, Misconfigured.
        """
        batch = apply_batch(
            self.state, posts, time=time, check_signature=check_signature, decode=decode
        )
        if batch.entries:
            change = change_of(self.state.map, self.state.size, batch, decode)
            self.log.append(batch.entries)
            self.db.commit(change, published=self.head.size if self.head else 0)
            self.state = batch.state
        return batch.outcomes

    def publish(self, now: int) -> PublishedHead:
        """Sign and cosign the committed size, and replace the checkpoint.

        `now`: Unix seconds; the cosignatures' time never falls. Raises Unavailable, Misconfigured.
        """
        timestamp = max(now, self.head.timestamp if self.head else 0)
        origin = origin_of(self.state.board)
        checkpoint = Checkpoint(origin, self.log.size, self.log.compact_range().root())
        self._mark.record(checkpoint.size, checkpoint.root)
        signature = sign_checkpoint(checkpoint, name=origin, signer=self._signer)
        cosignatures = self._cosigner.cosign(checkpoint, timestamp=timestamp)
        note = format_note(Note(format_checkpoint(checkpoint), (signature, *cosignatures)))
        self.log.write_checkpoint(note)
        self.head = PublishedHead(
            checkpoint=checkpoint,
            note=note,
            state_leaf=self.state.last.encode(),
            edge=self.log.last_edge(),
            cosignatures=tuple(parse_cosignature(line) for line in cosignatures),
            map=self.state.map,
        )
        # Needless files do no harm; the next start or batch tries again.
        with suppress(Unavailable):
            self.log.drop_superseded()
        return self.head

    def find_receipt(self, digest: bytes) -> Receipt:
        """The receipt of the committed entry with this SHA-256. Raises NotFound, Unavailable."""
        return Receipt(*self.db.find_receipt(digest))

    def close(self) -> None:
        """Let go of the state database."""
        self.db.close()


def change_of(
    before: StateMap | None, size: int, batch: Batch, decode: Callable[[bytes], Post] = decode_post
) -> StateChange:
    """What the state database must learn of a batch that begins at `size` over `before`."""
    posts = batch.entries[:-1]
    linked = [(linked_record(decode(entry)), index) for index, entry in enumerate(posts, size)]
    return StateChange(
        before=size,
        size=batch.state.size,
        writes=batch.writes,
        replaced={key: before.value(key) if before else None for key in batch.writes},
        receipts=[(sha256(entry).digest(), index) for index, entry in enumerate(posts, size)],
        links=[(*link, index) for link, index in linked if link is not None],
    )
