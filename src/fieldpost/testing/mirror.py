# SPDX-License-Identifier: Apache-2.0
"""A world that follows a real board, so that actors can write posts for it.

    world = MirroredBoard(lambda: entries_of_the_log)
    engine.submit(world.maker.registration()).result()
    world.refresh()

The state is replayed from the log's entries, as any monitor would.
"""

from collections.abc import Callable, Iterable

from fieldpost.ledger.replay import replay
from fieldpost.records import map_keys
from fieldpost.records.board import decode_board_record
from fieldpost.testing.actors import MakerActor, WitnessActor


class MirroredBoard:
    """The state of a board after the entries that `read_entries` gives; `maker` acts on it.

    Call `refresh` after each batch: a maker's nonces follow the state.
    """

    witnesses: tuple[WitnessActor, ...] = ()

    def __init__(self, read_entries: Callable[[], Iterable[bytes]], name: str = "acme") -> None:
        self._read_entries = read_entries
        self.applied = 0
        self.state = replay(None, read_entries())
        value = self.state.map.value(map_keys.board())
        assert value is not None, "every board has a record"
        self.record = decode_board_record(value)
        self.maker = MakerActor(self, name)

    def refresh(self) -> None:
        """Follow the board to where it is now."""
        self.state = replay(None, self._read_entries())
        self.applied += 1
