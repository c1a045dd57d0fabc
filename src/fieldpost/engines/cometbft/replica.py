# SPDX-License-Identifier: Apache-2.0
"""One operator's copy of the ledger, moved by blocks that CometBFT has decided.

    decide(posts, time)     the batch that a block makes of the state; nothing is written
    commit(batch, height)   entries and tiles durable -> state transaction, with the height

The batch of a block is all posts of its transactions, in order, at the block's time in whole
seconds. Its hash for CometBFT is the root of the log, so a block in which no post was accepted
changes nothing. Nothing but the blocks moves a replica: no clock, no peer, no file.

After a crash the state database says at which height this replica stands. A log that is longer
belongs to blocks that CometBFT is going to replay: what they make is compared with it, and written
only where it is new. Without a state database everything is replayed from the base, which is the
log that the board began with (docs/spec/cluster.md).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk
from fieldpost.engines.base import Receipt
from fieldpost.engines.board_files import log_directory
from fieldpost.engines.recovery import load_state, replay_log, set_aside_unknown_version
from fieldpost.engines.verification import Memory
from fieldpost.engines.writer import change_of
from fieldpost.errors import Misconfigured, NotFound
from fieldpost.ledger.batch import Batch, LedgerState, Refused, apply_batch
from fieldpost.ledger.codes import Code
from fieldpost.ledger.reading import read_board
from fieldpost.ledger.recent import RecentValues
from fieldpost.store.log_files import MAX_BATCH_ENTRIES, LogFiles
from fieldpost.store.log_recovery import open_log
from fieldpost.store.state_db import StateChange, StateDb
from fieldpost.tlog.checkpoint import Checkpoint
from fieldpost.tlog.hashing import Hash, leaf_hash
from fieldpost.tlog.tree import read_compact_range

# One entry of a batch is its state leaf.
MOST_POSTS: Final = MAX_BATCH_ENTRIES - 1


@dataclass(frozen=True, slots=True)
class Base:
    """The log that a cluster began with: its board, its size and its root."""

    board: str
    size: int
    root: Hash


@dataclass(frozen=True, slots=True)
class Decided:
    """What a block does. `root` is that of the log after it; `outcomes` has one for each post."""

    batch: Batch
    root: Hash
    outcomes: tuple[Receipt | Refused, ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """A size that this replica computed, with all that a published head of it needs."""

    state: LedgerState
    checkpoint: Checkpoint
    edge: tuple[Hash, ...]


class Replica:
    """An open replica, for one writing thread. `height` is that of the last committed block."""

    def __init__(self, log: LogFiles, db: StateDb, state: LedgerState, height: int) -> None:
        self.log = log
        self.db = db
        self.state = state
        self.height = height
        self._recent = RecentValues(state.map)

    @property
    def root(self) -> Hash:
        """The root of the log at the state's size."""
        if self.log.size == self.state.size:
            return self.log.compact_range().root()
        reader = self.log.hash_reader()
        return read_compact_range(reader, size=self.state.size).root()

    def computed(self, origin: str) -> Computed:
        """The size that is committed here."""
        size = self.state.size
        if self.log.size == size:
            edge = self.log.last_edge()
        else:
            edge = read_compact_range(self.log.hash_reader(), size=size - 1).edge()
        return Computed(self.state, Checkpoint(origin, size, self.root), edge)

    def decide(self, posts: Sequence[bytes], *, time: int, memory: Memory) -> Decided:
        """Apply a block's posts; those beyond what a batch holds are refused. Writes nothing."""
        taken, rest = posts[:MOST_POSTS], posts[MOST_POSTS:]
        batch = apply_batch(
            self.state,
            taken,
            time=time,
            check_signature=memory.check_signature,
            decode=memory.decode,
            read=self._recent,
        )
        root = self.root
        if batch.entries:
            reader = self.log.hash_reader()
            range_ = (
                self.log.compact_range()
                if self.log.size == self.state.size
                else read_compact_range(reader, size=self.state.size)
            )
            root = range_.extend(map(leaf_hash, batch.entries)).root()
        late = Refused(int(Code.MALFORMED), Code.MALFORMED.label, "the block is too long")
        outcomes = tuple(
            outcome if isinstance(outcome, Refused) else Receipt(outcome.index, batch.state.size)
            for outcome in batch.outcomes
        )
        return Decided(batch, root, outcomes + (late,) * len(rest))

    def commit(self, decided: Decided, height: int, *, keep: int, memory: Memory) -> None:
        """Make a block durable. What was replaced up to the log's size `keep` is forgotten.

        Raises Unavailable, and Misconfigured if the log holds something else already; in both
        cases the replica must be opened again.
        """
        batch = decided.batch
        if not batch.entries:
            size = self.state.size
            change = StateChange(before=size, size=size, writes={}, replaced={}, height=height)
        else:
            change = change_of(self._recent, self.state.size, batch, memory.decode, height=height)
            self._append(batch.entries)
        self.db.commit(change, keep=keep)
        self.height = height
        if batch.entries:
            self.state = batch.state
            self._recent.follow(batch.state.map, batch.writes)

    def _append(self, entries: Sequence[bytes]) -> None:
        start = self.state.size
        there = min(self.log.size - start, len(entries))
        if there and self.log.read_entries(start, start + there) != list(entries[:there]):
            raise Misconfigured(
                f"the log has other entries from {start} on than the blocks make: this data was "
                "written by another board or other rules; do not delete it, and see "
                "docs/operations/cluster.md"
            )
        if there < len(entries):
            self.log.append(entries[there:])

    def adopt(self, state: LedgerState, height: int, changes: Iterable[StateChange]) -> None:
        """Stand at a state that was verified, and whose log is here, instead of at the base.

        `changes` are what the state database is to know of that log. Raises Unavailable.
        """
        self.db.begin_with(changes, height=height)
        self.state, self.height = state, height
        self._recent = RecentValues(state.map)

    def close(self) -> None:
        """Let go of the state database."""
        self.db.close()


def open_replica(data: Path, base: Base, *, disk: Disk = OS) -> Replica:
    """The replica below `data`, whose log has at least the base. Nothing is signed here.

    Without a state.db that can be used it stands at the base, and CometBFT, which is told so,
    brings all its blocks again. Raises Misconfigured, saying what to do; Unavailable.
    """
    log = open_log(log_directory(data), disk=disk)
    check_base(log, base)
    set_aside_unknown_version(data / "state.db", log, disk)
    db = StateDb(data / "state.db")
    try:
        if db.size() == 0:
            replay_log(log, db, until=base.size)
        state = load_state(log, db)
        assert state is not None  # the base is never empty
        return Replica(log, db, state, db.height())
    except BaseException:
        db.close()
        raise


def check_base(log: LogFiles, base: Base) -> None:
    """Check that a log begins with what the cluster began with. Raises Misconfigured."""
    try:
        found = read_compact_range(log.hash_reader(), size=base.size).root()
    except NotFound:
        found = None
    if log.size < base.size or found != base.root:
        raise Misconfigured(
            f"the log has {log.size} entries and does not begin with the {base.size} of the "
            "genesis file: copy the log from another operator or a mirror, or use the right file"
        )


def validator_updates(before: LedgerState, after: LedgerState) -> dict[bytes, int]:
    """The voting power that changes between two states, by Ed25519 key: 1, or 0 for who left.

    A record without validator keys, as an embedded board writes it, changes nothing.
    """
    old, new = _validators(before), _validators(after)
    if not new:
        return {}
    return dict.fromkeys(sorted(old - new), 0) | dict.fromkeys(sorted(new - old), 1)


def _validators(state: LedgerState) -> set[bytes]:
    operators = read_board(state.map).operators
    return {operator.validator_key for operator in operators if operator.validator_key}
