# SPDX-License-Identifier: Apache-2.0
"""A board on a real disk, with a maker who writes posts for it.

    board = BoardOnDisk(tmp_path)
    writer = board.open();  board.write(writer, board.maker.registration())

A ledger in memory runs beside it, so that the maker knows its nonces and tests can compare roots.
The operator's keys are made anew for each board, as a node makes them.
"""

from collections.abc import Sequence
from pathlib import Path

from fieldpost.durable import OS, Disk
from fieldpost.engines.board_files import create_board, log_directory
from fieldpost.engines.recovery import open_board
from fieldpost.engines.writer import BoardWriter
from fieldpost.ledger.batch import Included, LedgerState, apply_batch
from fieldpost.ledger.genesis import apply_genesis
from fieldpost.store.log_recovery import open_log
from fieldpost.testing.actors import MakerActor, WitnessActor
from fieldpost.testing.world import START


class BoardOnDisk:
    """A new board in `data`. `state` is the ledger in memory, `time` its clock.

    It names `witnesses`, of which `witnesses_needed` must cosign before anything is published.
    """

    def __init__(
        self,
        data: Path,
        *,
        post_quantum: bool = False,
        witnesses: int = 0,
        witnesses_needed: int = 0,
        time: int = START,
    ) -> None:
        self.data = data
        self.time = time
        self.applied = 0
        self.witnesses = tuple(WitnessActor(f"witness{n}") for n in range(witnesses))
        create_board(
            data,
            origin="board.test/1",
            now=time,
            post_quantum=post_quantum,
            witnesses=[witness.witness() for witness in self.witnesses],
            witnesses_needed=witnesses_needed,
        )
        genesis = open_log(log_directory(data)).read_entry(0)
        self.state: LedgerState = apply_genesis(genesis, time=time).state
        self.maker = MakerActor(self)

    def open(self, *, disk: Disk = OS) -> BoardWriter:
        """The board, open for writing without an engine."""
        return open_board(self.data, disk=disk)

    def apply(self, posts: Sequence[bytes]) -> None:
        """One batch in the ledger in memory, a minute later; every post must be accepted."""
        self.time += 60
        batch = apply_batch(self.state, posts, time=self.time)
        if not all(isinstance(outcome, Included) for outcome in batch.outcomes):
            raise AssertionError(f"refused: {batch.outcomes}")
        self.state = batch.state
        self.applied += 1

    def write(self, writer: BoardWriter, *posts: bytes) -> None:
        """One batch in memory and on the disk, committed and published."""
        self.apply(posts)
        writer.commit(posts, time=self.time)
        writer.publish(self.time)
