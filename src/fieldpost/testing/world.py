# SPDX-License-Identifier: Apache-2.0
"""A whole board in memory: operators, witnesses, makers, the ledger, and its tree.

    world = BoardWorld.with_releases(10, 11)          maker, class, lot, two releases, head empty
    world.accept(world.maker.rollout_set(world.maker.offer(11, 2**30), world.maker.offer(10)))
    world.checkpoint(), world.edge(), world.cosignatures(timestamp=world.time)

Everything follows from names and arguments: two worlds made alike are equal byte for byte.
"""

from collections.abc import Sequence
from typing import Any

from fieldpost.keys import Algorithm
from fieldpost.ledger.batch import Batch, Included, LedgerState, apply_batch
from fieldpost.ledger.genesis import apply_genesis, make_genesis
from fieldpost.ledger.rules import VERSIONS, Versions
from fieldpost.records.board import BoardRecord
from fieldpost.testing.actors import MakerActor, OperatorActor, WitnessActor
from fieldpost.tlog.cosignature import Cosignature, cosign
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.tree import CompactRange, MemoryTree
from fieldpost.tlog.treehead import Checkpoint

START: int = 1_800_000_000


class BoardWorld:
    """One board. `state`, `entries` and map `values` are the ledger's; `maker` is the first maker.

    `time` is the world's clock in Unix seconds; each batch moves it by a minute. `changes` go
    into the board record (admission, limits, witnesses_needed, …), `versions` are the rules known.
    """

    def __init__(
        self,
        *,
        origin: str = "board.test/1",
        operators: int = 1,
        witnesses: int = 0,
        post_quantum: bool = False,
        time: int = START,
        versions: Versions = VERSIONS,
        **changes: Any,
    ) -> None:
        self.origin = origin
        self.versions = versions
        self.time = time
        self.applied = 0
        self.operators = tuple(OperatorActor(f"operator{n}", origin) for n in range(operators))
        self.witnesses = tuple(WitnessActor(f"witness{n}") for n in range(witnesses))
        record: dict[str, Any] = {
            "origin": origin,
            "epoch": 0,
            "previous": None,
            "operators": tuple(
                operator.operator(post_quantum=post_quantum) for operator in self.operators
            ),
            "witnesses": tuple(witness.witness() for witness in self.witnesses),
            "witnesses_needed": witnesses,
        }
        self.board_record = BoardRecord(**record | changes)
        self.genesis = make_genesis(self.board_record, [op.governance for op in self.operators])
        batch = apply_genesis(self.genesis, time=time)
        self.state: LedgerState = batch.state
        self.entries: list[bytes] = list(batch.entries)
        self.values: dict[bytes, bytes] = dict(batch.writes)
        self.maker = MakerActor(self)

    @classmethod
    def with_class(cls, **arguments: Any) -> "BoardWorld":
        """A world whose maker is registered and has the class `tracker`."""
        world = cls(**arguments)
        world.accept(world.maker.registration())
        world.accept(world.maker.class_set())
        return world

    @classmethod
    def with_releases(cls, *sequences: int, **arguments: Any) -> "BoardWorld":
        """`with_class`, a lot of 100 devices, and releases that are published, not offered."""
        world = cls.with_class(**arguments)
        world.accept(world.maker.lot_enrol())
        world.accept(*(world.maker.release_publish(sequence) for sequence in sequences))
        return world

    @property
    def board(self) -> str:
        """The board id."""
        return self.state.board

    def value(self, key: bytes) -> bytes | None:
        """What the state map holds under `key`."""
        return self.state.map.value(key)

    def apply(self, posts: Sequence[bytes], *, time: int | None = None) -> Batch:
        """One batch; the world goes on from what it did."""
        self.time += 60
        at = self.time if time is None else time
        batch = apply_batch(self.state, posts, time=at, versions=self.versions)
        self.state = batch.state
        self.entries += batch.entries
        self.values |= batch.writes
        self.applied += 1
        return batch

    def accept(self, *posts: bytes, time: int | None = None) -> Batch:
        """One batch of which every post must be accepted. Raises AssertionError otherwise."""
        batch = self.apply(posts, time=time)
        refused = [outcome for outcome in batch.outcomes if not isinstance(outcome, Included)]
        if refused:
            raise AssertionError(f"refused: {refused}")
        return batch

    def refusal(self, post: bytes, *, time: int | None = None) -> str:
        """The name of the code with which `post` is refused now; the world stays as it is.

        Raises AssertionError if the post is accepted, or refused and not without a trace.
        """
        at = self.time + 60 if time is None else time
        batch = apply_batch(self.state, (post,), time=at, versions=self.versions)
        self.applied += 1  # so the nonce of a refused post is issued again
        (outcome,) = batch.outcomes
        if isinstance(outcome, Included):
            raise AssertionError("accepted")
        if batch.entries or batch.writes or batch.state is not self.state:
            raise AssertionError(f"refused ({outcome.name}), and something changed")
        return outcome.name

    # --- the log as devices see it ---

    def tree(self) -> MemoryTree:
        """The Merkle tree over all entries."""
        return MemoryTree(leaf_hash(entry) for entry in self.entries)

    def checkpoint(self) -> Checkpoint:
        """The tree head after the last batch."""
        return Checkpoint(self.origin, len(self.entries), self.tree().root())

    def edge(self) -> tuple[bytes, ...]:
        """The right edge: inclusion path of the last entry, the state leaf."""
        before = CompactRange.empty().extend(leaf_hash(entry) for entry in self.entries[:-1])
        return before.edge()

    def cosignatures(
        self,
        *,
        timestamp: int | None = None,
        operators: int | None = None,
        witnesses: int | None = None,
        post_quantum: bool = False,
        checkpoint: Checkpoint | None = None,
    ) -> tuple[Cosignature, ...]:
        """Cosignatures by the first `operators` and `witnesses` (None: all of them)."""
        head = self.checkpoint() if checkpoint is None else checkpoint
        at = self.time if timestamp is None else timestamp
        algorithm = Algorithm.ML_DSA_44 if post_quantum else Algorithm.ED25519
        by_operators = tuple(
            cosign(head, name=op.cosigner_name, signer=op.cosigner(algorithm), timestamp=at)
            for op in self.operators[:operators]
        )
        return by_operators + tuple(
            cosign(head, name=witness.key.name, signer=witness.signer, timestamp=at)
            for witness in self.witnesses[:witnesses]
        )
