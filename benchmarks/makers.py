# SPDX-License-Identifier: Apache-2.0
"""A board on disk with many makers, each with a class and a release, and their posts signed ahead.

    crowd = MakerCrowd(folder / "data", makers=1_000)
    with node(crowd.data) as url: …
    posts = crowd.advisories(30)        30 from each maker, in the order in which nonces allow them

Everything is written by the ledger itself, in this process, before the node starts.
"""

import time
from collections.abc import Callable
from pathlib import Path

from fieldpost.records.limits import MAX_CHANNELS
from fieldpost.testing.actors import MakerActor, World
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.maker_posts import advisory_publish

# Batches lie a minute apart; the last must not be ahead of the clock by which the node goes on.
_AGO_S = 86_400
# As many may register in a day.
_A_DAY = 1_000


class MakerCrowd:
    """The makers of one board; at most as many as register in a day, which are 1,000.

    A board whose days pass between batches may have more.
    """

    def __init__(self, data: Path, *, makers: int) -> None:
        self.data = data
        board = BoardOnDisk(data, time=int(time.time()) - _AGO_S)
        writer = board.open()
        self._prepare(board, makers, lambda posts: board.write(writer, *posts))
        writer.close()

    def _prepare(self, board: World, makers: int, write: Callable[[list[bytes]], None]) -> None:
        self._makers = [MakerActor(board, f"maker{n}") for n in range(makers)]
        self._numbers = 0
        for start in range(0, makers, _A_DAY):
            some = self._makers[start : start + _A_DAY]
            write([maker.registration() for maker in some])
            write([maker.class_set(most_devices=2**21) for maker in some])
            write([maker.release_publish(1) for maker in some])

    def rollouts(self, count: int) -> list[tuple[int, bytes]]:
        """For the first maker: (interval in seconds, `rollout.set`), each interval another."""
        maker = self._makers[0]
        offer = maker.offer(1)
        intervals = range(3_600, 3_600 + count)
        return [(s, maker.rollout_set(offer, interval_s=s)) for s in intervals]

    def wide_classes(self, count: int) -> list[bytes]:
        """`count` new classes of each maker, with as many channels as may be (`class.set`)."""
        channels = ("stable", *(f"channel-{n}" for n in range(1, MAX_CHANNELS)))
        return [
            maker.class_set(f"wide-{n}", channels=channels)
            for n in range(count)
            for maker in self._makers
        ]

    def lot(self, *, count: int, root: bytes) -> tuple[bytes, bytes]:
        """A lot of the first maker's class: its id, and `lot.enrol`."""
        maker = self._makers[0]
        return maker.lot_id(count=count, root=root), maker.lot_enrol(count=count, root=root)

    @property
    def maker_ids(self) -> list[bytes]:
        """Every maker's id."""
        return [maker.id for maker in self._makers]

    @property
    def class_id(self) -> bytes:
        """The first maker's class."""
        return self._makers[0].class_id("tracker")

    @property
    def board(self) -> str:
        """The board id."""
        return self._makers[0].world.state.board

    def advisories(self, rounds: int) -> list[bytes]:
        """`rounds` new advisories of each maker (`advisory.publish`, Ed25519, about 450 bytes).

        A maker's posts stand as far apart as there are makers.
        """
        posts: list[bytes] = []
        for _ in range(rounds):
            self._numbers += 1
            posts += [advisory_publish(maker, number=self._numbers) for maker in self._makers]
        return posts
