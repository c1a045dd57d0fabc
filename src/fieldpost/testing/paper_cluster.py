# SPDX-License-Identifier: Apache-2.0
"""Several operators of one board without CometBFT: a test says which blocks were decided.

    cluster = PaperCluster(tmp_path, operators=4)
    cluster.block(post, …)                  one block, by every operator that is there
    cluster.join("op4")                     a newcomer, who follows the blocks
    cluster.board_set("op0", "op1", …)      the post that makes these the operators

Replica, application, keys and publisher are those of a real operator, on a real disk. Blocks are
handed over as ABCI requests, so heights, app hashes and their confirmation are what they would be.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from fieldpost.durable import OS, Disk
from fieldpost.engines.base import PublishedHead
from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.clock_guard import ClockGuard
from fieldpost.engines.cometbft.application import Application, Settled
from fieldpost.engines.cometbft.base_log import base_of_batch, place_base
from fieldpost.engines.cometbft.genesis import Genesis, Validator
from fieldpost.engines.cometbft.messages import Request
from fieldpost.engines.cometbft.moving import copy_exactly
from fieldpost.engines.cometbft.publishing import Publisher
from fieldpost.engines.cometbft.replica import Replica, open_replica
from fieldpost.engines.cometbft.seen import SeenPosts
from fieldpost.engines.cometbft.snapshots import Snapshots
from fieldpost.engines.cometbft.transactions import bundles, encode_bundle
from fieldpost.engines.mirrors import Mirror
from fieldpost.engines.operator_keys import make_keys
from fieldpost.engines.recovery import load_heads
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.errors import FieldpostError
from fieldpost.keys import Algorithm, Signer
from fieldpost.ledger.batch import Included, LedgerState, apply_batch
from fieldpost.ledger.genesis import apply_genesis, make_genesis
from fieldpost.ledger.reading import find_link, read_board
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records import map_keys
from fieldpost.records.board import BoardRecord, Operator
from fieldpost.records.identifiers import origin_of
from fieldpost.store.log_files import LogFiles
from fieldpost.testing.actors import MakerActor, WitnessActor
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import START

ORIGIN: Final = "board.test/1"
# Snapshots of every fourth block, in chunks of a few pairs.
EVERY: Final = 4
CHUNK_BYTES: Final = 1_500


class PaperOperator:
    """One operator's process: `start` and `crash` it; `heard` is what it told of posts."""

    def __init__(self, data: Path, genesis: Genesis, clock: Callable[[], int]) -> None:
        self.data = data
        self._genesis = genesis
        self._clock = clock
        self.heard: list[Settled] = []
        self.heads: list[PublishedHead] = []
        self.replica: Replica
        self.publisher: Publisher
        self.application: Application
        self.is_up = False
        self.snapshots = Snapshots(every=EVERY, chunk_bytes=CHUNK_BYTES)
        self.sources: list[Mirror] = []

    def _fetch(self, log: LogFiles, state: LedgerState, root: bytes) -> None:
        """The log of a snapshot, from the first of `sources` that has it."""
        *others, last = self.sources
        for source in others:
            with suppress(FieldpostError):
                copy_exactly(log, source, size=state.size, root=root)
                return
        copy_exactly(log, last, size=state.size, root=root)

    def start(self, disk: Disk = OS) -> None:
        """Open what is on the disk."""
        base = place_base(self.data, self._genesis, disk=disk)
        self.replica = open_replica(self.data, base, disk=disk)
        mark = SignedMark(keys_directory(self.data), disk=disk)
        self.publisher = Publisher(
            self.data,
            board=base.board,
            mark=mark,
            clock=ClockGuard(self._clock, lambda: float(self._clock())),
            heads=load_heads(self.replica.log, self.replica.db, self.replica.state),
            show=self._show,
            published=self.heads.append,
        )
        self.application = Application(
            self.replica,
            base,
            origin=origin_of(base.board),
            seen=SeenPosts(),
            keep=lambda: self.publisher.heads.oldest_size if self.publisher.heads else 0,
            agree=self.publisher.agree,
            settled=self.heard.append,
            snapshots=self.snapshots,
            fetch_log=self._fetch,
        )
        self.publisher.resume(self.replica.computed(origin_of(base.board)))
        self.is_up = True

    def crash(self) -> None:
        """End without a word."""
        self.is_up = False
        self.publisher.close()
        self.replica.close()

    def ask(self, kind: str, **fields: Any) -> Any:
        """What the application answers to a request."""
        request = getattr(Request(**{kind: fields}), kind)
        return self.application.handlers[kind](request)

    def finalize(self, block: "Block") -> bytes:
        """Execute a block; the app hash."""
        found: bytes = self.ask(
            "finalize_block", txs=block.txs, height=block.height, time={"seconds": block.time}
        ).app_hash
        return found

    def take(self, block: "Block") -> bytes:
        """Execute and commit a block; the app hash."""
        found = self.finalize(block)
        self.ask("commit")
        return found

    def replay(self, blocks: Sequence["Block"]) -> bytes:
        """Take the blocks that are missing here, as after a start; the app hash."""
        found: bytes = self.replica.root
        for block in blocks[self.replica.height :]:
            found = self.take(block)
        return found

    def _show(self, note: bytes, older: dict[int, bytes]) -> None:
        self.replica.db.save_heads(older)
        self.replica.log.write_checkpoint(note)


class Block:
    """A decided block: transactions, height, and time in Unix seconds."""

    def __init__(self, txs: Sequence[bytes], height: int, time: int) -> None:
        self.txs = list(txs)
        self.height = height
        self.time = time


@dataclass(frozen=True, slots=True)
class PaperMember:
    """Who may be an operator: its entry in the record, and a signer for each key of it."""

    entry: Operator
    signers: tuple[Signer, ...]

    @property
    def validator(self) -> Validator:
        """It among CometBFT's validators."""
        assert self.entry.validator_key is not None  # every member has one
        return Validator(self.entry.name, self.entry.validator_key)


def make_member(data: Path, name: str) -> PaperMember:
    """Keys of an operator below `data`, made as `operator init` makes them."""
    governance, keys = make_keys(keys_directory(data), post_quantum=False)
    validator = DeterministicSigner(Algorithm.ED25519, f"validator/{name}")
    entry = keys.operator(name, (), ORIGIN, governance.public_key)
    entry = replace(entry, validator_key=validator.public_key.raw)
    return PaperMember(entry, (governance, keys.log, keys.cosigner, validator))


def make_operators(
    state: LedgerState, members: Sequence[PaperMember], signers: Sequence[Signer]
) -> bytes:
    """The `board.set` that makes `members` the operators of a board."""
    before = read_board(state.map)
    link = find_link(state.map, map_keys.board())
    assert link is not None  # every board has one
    record = replace(
        before,
        operators=tuple(member.entry for member in members),
        epoch=link.epoch + 1,
        previous=link.digest,
    )
    statement = Statement(
        kind="board.set",
        issuer=before.operators[0].name,
        subject=before.origin,
        audience=state.board,
        payload=record.encode(),
    )
    return sign_post(statement, signers).encode()


# What a cluster of these members begins with: its genesis file, and the state at its base.
Begin = Callable[[tuple[PaperMember, ...]], tuple[Genesis, LedgerState]]


def found_board(
    members: tuple[PaperMember, ...], *, time: int, witnesses: tuple[WitnessActor, ...]
) -> tuple[Genesis, LedgerState]:
    """A new board."""
    record = BoardRecord(
        origin=ORIGIN,
        epoch=0,
        previous=None,
        operators=tuple(member.entry for member in members),
        epoch_s=60,
        witnesses=tuple(witness.witness() for witness in witnesses),
        witnesses_needed=len(witnesses),
    )
    post = make_genesis(record, [member.signers[0] for member in members])
    batch = apply_genesis(post, time=time)
    base = base_of_batch(batch)
    genesis = Genesis(
        board=base.board,
        time=time,
        size=base.size,
        root=base.root,
        genesis_post=post,
        validators=tuple(member.validator for member in members),
    )
    return genesis, batch.state


class PaperCluster:
    """Operators op0, op1, …; `state` is the ledger in memory, `time` everybody's clock.

    `members` are all who ever had keys, by name. `adapt` changes what the genesis record says of an
    operator: its URLs, or the validator key of a real CometBFT. The board demands all `witnesses`.
    `begin` says with what it begins, if not with a new board.
    """

    def __init__(
        self,
        folder: Path,
        *,
        operators: int = 4,
        witnesses: int = 0,
        time: int = START,
        adapt: Callable[[Operator], Operator] = lambda entry: entry,
        begin: Begin | None = None,
    ) -> None:
        self.time = time
        self.applied = 0
        self.witnesses = tuple(WitnessActor(f"witness{n}") for n in range(witnesses))
        self.blocks: list[Block] = []
        self._folder = folder
        self.members: dict[str, PaperMember] = {}
        folders = [folder / f"op{n}" for n in range(operators)]
        for data in folders:
            data.mkdir(parents=True, exist_ok=True)
            made = make_member(data, data.name)
            self.members[data.name] = replace(made, entry=adapt(made.entry))
        everybody = tuple(self.members.values())
        begin = begin or partial(found_board, time=time, witnesses=self.witnesses)
        self.genesis, self.state = begin(everybody)
        self.operators = [PaperOperator(data, self.genesis, lambda: self.time) for data in folders]
        self.maker = MakerActor(self)

    def start(self) -> None:
        """Start everybody."""
        for operator in self.operators:
            operator.start()

    def join(self, name: str, *, follow: bool = True) -> PaperOperator:
        """Keys for a newcomer, who begins with the genesis file, and takes every block if told."""
        data = self._folder / name
        data.mkdir()
        self.members[name] = make_member(data, name)
        operator = PaperOperator(data, self.genesis, lambda: self.time)
        operator.start()
        if follow:
            operator.replay(self.blocks)
        self.operators.append(operator)
        return operator

    def board_set(self, *names: str, signers: Sequence[Signer] | None = None) -> bytes:
        """The post that makes these members the operators.

        By default a bare quorum of the operators so far signs, and every key that is new.
        """
        before = read_board(self.state.map)
        if signers is None:
            held = {key for operator in before.operators for key in _keys_of(operator)}
            old = [self.members[operator.name].signers[0] for operator in before.operators]
            named = [signer for name in names for signer in self.members[name].signers]
            new = [signer for signer in named if signer.public_key.raw not in held]
            signers = [*old[: before.quorum], *new]
        return make_operators(self.state, [self.members[name] for name in names], signers)

    def close(self) -> None:
        """Stop everybody who is up."""
        for operator in self.operators:
            if operator.is_up:
                operator.crash()

    def decide(self, *posts: bytes) -> Block:
        """A block of these posts, a second later; nobody has it yet."""
        self.time += 1
        if posts:
            batch = apply_batch(self.state, posts, time=self.time)
            self.state = batch.state
            self.applied += any(isinstance(outcome, Included) for outcome in batch.outcomes)
        txs = [encode_bundle(bundle) for bundle in bundles(posts)]
        block = Block(txs, len(self.blocks) + 1, self.time)
        self.blocks.append(block)
        return block

    def block(self, *posts: bytes) -> bytes:
        """A block that everybody who is up takes, who must come to the same hash: that hash."""
        block = self.decide(*posts)
        found = {operator.take(block) for operator in self.operators if operator.is_up}
        if len(found) != 1:
            raise AssertionError(f"{len(found)} different app hashes")
        return found.pop()


def _keys_of(operator: Operator) -> set[bytes | None]:
    named = (operator.log_key, *operator.cosigner_keys)
    return {
        operator.governance_key.raw,
        operator.validator_key,
        *(key.public_key.raw for key in named),
    }
