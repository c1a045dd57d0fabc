# SPDX-License-Identifier: Apache-2.0
"""Whatever the clock of a running node does, the board's time never falls and no post is lost.

A campaign by seed over the real engine: small corrections, jumps both ways, slow drift, restarts
and reboots, a post after each. Whoever operates it mends the clock where the engine refuses.
"""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from random import Random
from threading import Lock, local

import pytest

from fieldpost.engines.base import PublishedHead
from fieldpost.engines.clock_guard import MOST_BEHIND_S
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.errors import Unavailable
from fieldpost.records.state_leaf import decode_state_leaf, is_state_leaf
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.defences import Defence, without

pytestmark = pytest.mark.crash

WAIT_S = 60.0
HOUR = 3_600
DAY = 86_400
STEPS = 25


class Machine:
    """A node on a machine whose clock is `skew` seconds off."""

    def __init__(self, data: Path) -> None:
        self.board = BoardOnDisk(data)
        self.now = self.board.time
        self.skew = 0
        self.up = 0.0
        self.sent: list[bytes] = []
        self.waiting: list[bytes] = []
        self.shown: list[tuple[int, int]] = []
        self._moving, self._read = Lock(), local()
        self.engine = self.open()
        for make in (self.board.maker.registration, self.board.maker.class_set):
            self.post(make())

    def open(self) -> EmbeddedEngine:
        engine = EmbeddedEngine(
            self.board.data, clock=self.clock, uptime=lambda: float(self._read.up)
        )
        self.show(engine.published())
        engine.subscribe(self.show)
        return engine

    def clock(self) -> int:
        """What a reader sees; its next look at the uptime is of the same moment."""
        with self._moving:
            self._read.up = self.up
            return self.now + self.skew

    def show(self, head: PublishedHead) -> None:
        """What devices are given from here on."""
        self.shown.append((head.size, head.timestamp))

    def restart(self, *, reboot: bool = False) -> None:
        self.engine.close()
        if reboot:
            self.up = 0.0
        self.engine = self.open()

    def live(self, seconds: int) -> None:
        with self._moving:
            self.now += seconds
            self.up += seconds

    def lot(self) -> bytes:
        root = sha256(len(self.sent).to_bytes(4, "big")).digest()
        return self.board.maker.lot_enrol(count=1, root=root)

    def post(self, entry: bytes) -> None:
        """Send it, and what was refused before. Raises Unavailable; then nothing changed."""
        if entry not in self.sent:
            self.board.apply([entry])
            self.sent.append(entry)
            self.waiting.append(entry)
        size = self.engine.published().size
        for one in list(self.waiting):
            try:
                self.engine.submit(one).result(WAIT_S)
            except Unavailable:
                assert self.engine.published().size == size
                raise
            self.waiting.remove(one)
            size = self.engine.published().size

    def last(self) -> int:
        """The time of the newest batch."""
        return decode_state_leaf(self.engine.read_entry(self.engine.published().size - 1)).time

    def mend(self, chance: Random) -> None:
        """The clock is set right, in one of the ways that an operator has."""
        self.skew = 0
        if chance.randrange(2):
            self.engine.accept_clock()
        else:
            self.restart()
        # A right clock behind a batch of the future: the node waits until time has come there.
        self.live(max(0, self.last() - MOST_BEHIND_S - self.now))
        self.post(self.lot())


@pytest.fixture
def machine(memory: Path) -> Machine:
    return Machine(memory / "data")


def check(machine: Machine) -> None:
    """At the end every post is in the log, once, and no time ever fell."""
    engine = machine.engine
    size = engine.published().size
    engine.close()
    log = machine.board.open().log.read_entries(0, size)
    assert not machine.waiting
    assert [entry for entry in log if entry in machine.sent] == machine.sent
    batches = [decode_state_leaf(entry).time for entry in log if is_state_leaf(entry)]
    assert batches == sorted(batches)
    assert machine.shown == sorted(machine.shown), "T fell, or the size did"


def refused(machine: Machine, why: str) -> None:
    """A post is not taken, for this reason; what to do is said, and everything else goes on."""
    before = machine.engine.published()
    with pytest.raises(Unavailable, match=why) as refusal:
        machine.post(machine.lot())
    assert "set it right" in str(refusal.value)
    with pytest.raises(Unavailable, match=why):
        machine.engine.check_ready()
    assert machine.engine.published().size == before.size
    assert machine.engine.read_entry(0)


def why_not_taken(machine: Machine) -> str:
    """Why a post is refused; "" if it is taken."""
    try:
        machine.post(machine.lot())
    except Unavailable as refusal:
        return str(refusal)
    return ""


def step(machine: Machine, chance: Random) -> str:
    """Something happens to the clock, and a post comes; what happened."""
    ahead = (-1, 1)[chance.randrange(2)]
    match chance.randrange(6):
        case 0:
            machine.live(chance.randrange(3 * DAY))
            if chance.randrange(2):
                machine.restart(reboot=bool(chance.randrange(2)))
            happened = "time"
        case 1:
            machine.skew += ahead * chance.randrange(DAY * 2 // 5)
            happened = "a correction"
        case 2:
            machine.skew += ahead * (DAY + 1 + chance.randrange(400 * DAY))
            refused(machine, "jumped")
            machine.mend(chance)
            return "a jump"
        case 3:
            # Asleep, a machine has no uptime. Its clock is right, so it is accepted.
            machine.now += DAY + 1 + chance.randrange(20 * DAY)
            refused(machine, "jumped")
            if chance.randrange(2):
                machine.engine.accept_clock()
            else:
                machine.restart()
            happened = "a sleep"
        case 4:
            machine.skew = -machine.now + chance.randrange(DAY)
            machine.restart(reboot=True)
            refused(machine, "behind the last batch")
            machine.mend(chance)
            return "a start in 1970"
        case _:
            for _ in range(8):
                machine.live(DAY)
                machine.skew += ahead * 4 * HOUR
                machine.post(machine.lot())
            happened = "drift"
    if trouble := why_not_taken(machine):
        # Corrections may add up to a clock that is behind what was written by it.
        assert "behind the last batch: set it right" in trouble
        machine.mend(chance)
    return happened


@pytest.mark.parametrize("seed", range(4))
def test_no_clock_makes_time_fall_or_loses_a_post(machine: Machine, seed: int) -> None:
    """Lives by lot; what is refused says why, and is taken once the clock is mended."""
    chance = Random(seed)
    seen = {step(machine, chance) for _ in range(STEPS)}
    assert len(seen) > 3
    check(machine)


def test_slow_drift_of_more_than_a_day_stops_nothing(machine: Machine) -> None:
    for _ in range(40):
        machine.live(DAY)
        machine.skew += HOUR
        machine.post(machine.lot())
    assert machine.last() == machine.now + 40 * HOUR
    machine.skew = 0
    refused(machine, "jumped")
    machine.engine.accept_clock()
    refused(machine, "behind the last batch")
    machine.live(40 * HOUR)
    machine.post(machine.lot())
    check(machine)


def in_the_future(machine: Machine) -> int:
    """How far a day of a wrong clock puts the board ahead, once the clock is right again."""
    machine.skew = 400 * DAY
    with suppress(Unavailable):
        machine.post(machine.lot())
    machine.skew = 0
    machine.live(DAY)
    machine.post(machine.lot())
    ahead = machine.last() - machine.now
    check(machine)
    assert machine.shown[-1][1] - machine.now == ahead
    return ahead


def test_one_batch_by_a_wrong_clock_would_keep_the_board_in_the_future(memory: Path) -> None:
    assert in_the_future(Machine(memory / "with")) == 0
    with without(Defence.CLOCK_GUARD):
        assert in_the_future(Machine(memory / "without")) == 399 * DAY
