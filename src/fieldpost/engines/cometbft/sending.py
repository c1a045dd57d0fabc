# SPDX-License-Identifier: Apache-2.0
"""From the intake to CometBFT, and from blocks back to whoever waits for an answer."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, Protocol

from fieldpost.engines.base import Answer, Receipt
from fieldpost.engines.cometbft.application import Settled
from fieldpost.engines.cometbft.outstanding import Outstanding
from fieldpost.engines.cometbft.replica import Replica
from fieldpost.engines.cometbft.seen import SeenPosts, is_admissible
from fieldpost.engines.cometbft.transactions import bundles, encode_bundle
from fieldpost.engines.intake import Collected, Intake, Waiting
from fieldpost.engines.published import PublishedHeads
from fieldpost.errors import FieldpostError, Rejected, Unavailable
from fieldpost.ledger.batch import Refused, apply_batch

_RETRY_S: Final = 2


class Ordering(Protocol):
    """CometBFT, as this engine sees it."""

    def start(self) -> None:
        """Start it, over the socket; it comes up in its own time. Raises Misconfigured."""
        ...

    def stop(self) -> None:
        """Stop it, and wait until it is gone. May be called again."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why it orders nothing, and what to do; None while nothing is known to be wrong."""
        ...

    def broadcast(self, txs: Sequence[bytes]) -> list[FieldpostError | None]:
        """Hand over transactions; for each None once the mempool has it, or why not."""
        ...

    def look_after(self) -> None:
        """Ask how it is, and go over to the validator key's successor once that votes.

        To be called in every turn; it asks about once a second, and waits for no more than two.
        """
        ...


class Sending:
    """The posts of one node on their way. `send` and `look_after` are for the engine's thread."""

    def __init__(
        self,
        intake: Intake,
        ordering: Ordering,
        seen: SeenPosts,
        *,
        replica: Callable[[], Replica],
        published: Callable[[], PublishedHeads | None],
        uptime: Callable[[], float],
    ) -> None:
        self._intake = intake
        self._ordering = ordering
        self._seen = seen
        self._replica = replica
        self._published = published
        self._uptime = uptime
        self._outstanding = Outstanding()

    def send(self, batch: Collected, *, trouble: str | None) -> None:
        """Hand over what the intake gave; `trouble` says why that cannot be done now."""
        replica = self._replica()
        digests = [waiting.read.digest for waiting in batch.posts]
        try:
            known = replica.db.find_receipts(digests)
        except FieldpostError as error:
            self._intake.answer([(waiting, error) for waiting in batch.posts])
            return
        valid, board = frozenset(batch.valid), replica.state.board
        answers: list[tuple[Waiting, Answer]] = []
        sent: list[Waiting] = []
        for waiting in batch.posts:
            if waiting.read.digest in known or is_admissible(waiting.read, valid, board):
                sent.append(waiting)
            else:
                answers.append((waiting, self._refusal(waiting.read.entry)))
        self._intake.answer(answers)
        self._seen.remember((waiting.read for waiting in sent), batch.valid)
        fresh = self._outstanding.add(sent, now=self._uptime())
        receipts = {digest: Receipt(*place) for digest, place in known.items()}
        self._outstanding.included(receipts.items())
        heads = self._published()
        if receipts and heads is not None:
            self.published(heads.newest.size)
        self._broadcast([post for post in fresh if sha256(post).digest() not in receipts], trouble)

    def look_after(self, *, trouble: str | None) -> None:
        """Send again what no block took, and give up what none took for long."""
        again, answers = self._outstanding.overdue(self._uptime())
        self._intake.answer(answers)
        self._broadcast(again, trouble)

    def settle(self, outcomes: Settled) -> None:
        """A block is durable: whoever waits for a refused post is answered, the others soon."""
        self._outstanding.included(
            (digest, outcome) for digest, outcome in outcomes if isinstance(outcome, Receipt)
        )
        refused = [(d, outcome) for d, outcome in outcomes if isinstance(outcome, Refused)]
        if not refused:
            return
        # Sent twice, it was refused the second time; the first one counts.
        known = self._replica().db.find_receipts([digest for digest, _ in refused])
        self._outstanding.included((d, Receipt(*place)) for d, place in known.items())
        self._intake.answer(
            self._outstanding.refused((d, outcome) for d, outcome in refused if d not in known)
        )

    def trouble(self) -> str | None:
        """Why posts wait for blocks that do not come, if they do."""
        return self._outstanding.trouble(self._uptime())

    def published(self, size: int) -> None:
        """The log is published up to `size`."""
        self._intake.answer(self._outstanding.published(size))

    def _broadcast(self, posts: Sequence[bytes], trouble: str | None) -> None:
        if not posts:
            return
        cut = list(bundles(posts))
        if trouble is not None:
            errors: list[FieldpostError | None] = [Unavailable(trouble, _RETRY_S)] * len(cut)
        else:
            errors = self._ordering.broadcast([encode_bundle(bundle) for bundle in cut])
        for bundle, error in zip(cut, errors, strict=True):
            if error is not None:
                digests = [sha256(post).digest() for post in bundle]
                self._intake.answer(self._outstanding.failed(digests, error))

    def _refusal(self, entry: bytes) -> Answer:
        """What the rules say of a post that no block needs to see."""
        state = self._replica().state
        (outcome,) = apply_batch(state, [entry], time=state.last.time).outcomes
        if isinstance(outcome, Refused):
            return Rejected(outcome.code, outcome.name, outcome.detail)
        return Unavailable("the post's keys changed a moment ago; send it again", _RETRY_S)
