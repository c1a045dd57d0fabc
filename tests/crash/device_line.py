# SPDX-License-Identifier: Apache-2.0
"""A device's life on one disk, and whether what a power cut left of it still is a device.

`DeviceLine` runs the real agent against a `PaperNode`. `judged` lends the node out to a second
device, started in what a cut left, and takes back what that one did to it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, NoReturn

from fieldpost.agent.enrolment import Base, enrol
from fieldpost.agent.home import Home
from fieldpost.agent.loop import OneRun, open_agent, run_once
from fieldpost.agent.memory import Memory, load_memory
from fieldpost.agent.slots.stored_image import is_whole
from fieldpost.agent.states import State
from fieldpost.agent.world import Facts, World
from fieldpost.durable import OS, Disk
from fieldpost.errors import Untrusted
from fieldpost.identity.outcome import Outcome
from fieldpost.testing.paper_node import PaperNode

OLD: Final = b"the old image" * 1_000
NEW: Final = b"the new image" * 2_000
RADIO: Final = b"the new radio" * 3_000


class Rebooted(BaseException):
    """The agent was executed anew."""


def reboot() -> NoReturn:
    raise Rebooted


@dataclass
class Clock:
    """Time that only the test moves."""

    now: int
    events: list[str] = field(default_factory=list)

    def world(self) -> World:
        def emit(event: str, _: Facts) -> None:
            self.events.append(event)

        return World(
            emit=emit,
            clock=lambda: self.now,
            uptime=lambda: float(self.now),
            chance=lambda: 0.5,
            pause=self.pause,
        )

    def pause(self, seconds: float) -> None:
        self.now += int(seconds) + 1


def live(root: Path, clock: Clock, disk: Disk = OS) -> OneRun:
    """One life of the agent, through as many boots as it takes."""
    rebooted = False
    while True:
        try:
            with open_agent(Home(root, disk), world=clock.world(), boot=reboot) as agent:
                return run_once(agent, clock.world(), rebooted=rebooted)
        except Rebooted:
            rebooted = True


def live_or_rest(root: Path, clock: Clock) -> str:
    """One life; the reason why nothing was installed, "" if there was none."""
    try:
        live(root, clock)
    except Untrusted as refused:
        return refused.reason
    return ""


def wait_two_days(clock: Clock, node: PaperNode) -> None:
    clock.now += 86_400 * 2
    node.board.time = clock.now
    node.board.seal()


def memory_of(root: Path) -> Memory:
    return load_memory(Home(root).memory)


def boots(root: Path) -> tuple[bytes, ...]:
    """The images that the boot link leads to, all of one release."""
    slot = root / "slots" / "current"
    assert is_whole(slot), "what would boot is not whole"
    return tuple(path.read_bytes() for path in sorted(slot.glob("image*")))


def set_up(root: Path, node: PaperNode, *, health: str = "true", disk: Disk = OS) -> None:
    """What happens in the factory; OLD is the image that it flashes."""
    image = root.parent / "old.bin"
    image.write_bytes(OLD)
    enrol(
        Home(root, disk),
        provisioning=node.board.provisioning(least_size=0),
        serial="SN-1",
        base=Base(images={"image": image}, sequence=1, version="1.0"),
    )
    configure(root, node, health)


def configure(root: Path, node: PaperNode, health: str) -> None:
    """What its owner chooses."""
    settings = f'urls = ["{node.url}"]\nhealth_check = ["{health}"]\ntrial_check_in_s = 60\n'
    (root / "agent.toml").write_text(settings)


@contextmanager
def lent(node: PaperNode, time: int) -> Iterator[Clock]:
    """The node for another device, with a clock of its own; afterwards it is as it was."""
    board, reports = node.board, list(node.reports)
    node.board = board.fork()
    clock = Clock(max(time, board.time))
    try:
        yield clock
    finally:
        node.board, node.reports[:] = board, reports


def judge_update(
    root: Path, node: PaperNode, *, time: int, new: tuple[bytes, ...], least: Mapping[str, int]
) -> None:
    """What a cut left boots something whole, never an older release than `least` says, reports in
    order, and is updated in the end."""
    with lent(node, time) as clock:
        told = len(node.reports)
        assert boots(root) in ((OLD,), new)
        running = memory_of(root).running
        assert running >= least["running"]
        assert memory_of(root).belief.size >= least["size"]
        for _ in range(3):
            # Where the trial died with the power, its image is left alone for a while.
            reason = live_or_rest(root, clock)
            assert (reason, boots(root)) in (("", new), ("resting", (OLD,)))
            assert memory_of(root).running >= running
            running = memory_of(root).running
            wait_two_days(clock, node)
            if not reason and len(node.reports) > told:
                break
        assert boots(root) == new
        memory = memory_of(root)
        assert (memory.running, memory.state, memory.failed) == (2, State.IDLE, ())
        assert Outcome.CONFIRMED in [report.outcome for report in node.reports]
        orders = [(report.boot_count, report.counter) for report in node.reports]
        assert orders == sorted(set(orders)), "a report came twice, or out of order"


def judge_sick(root: Path, node: PaperNode, *, time: int) -> None:
    """What a cut left of an update to an image that is ill ends with the image before."""
    with lent(node, time) as clock:
        for _ in range(2):
            assert live_or_rest(root, clock) in ("", "resting", "failed-before")
            assert boots(root) == (OLD,)
            wait_two_days(clock, node)
        assert memory_of(root).running == 1


def digest_of_request(root: Path) -> bytes | None:
    """What the factory handed to the maker, if it was made yet."""
    found = [sha256(path.read_bytes()).digest() for path in root.glob("*.enrol")]
    return found[0] if found else None


def with_offers(node: PaperNode, *, radio: bytes | None = None) -> None:
    """New links of board and maker, which a device must follow, and release 2 for everybody."""
    node.board.board_set(node.board.names, epoch_s=30)
    node.board.maker_set(contact="security@acme.example")
    extra = {} if radio is None else {"radio": radio}
    node.publish(2, NEW, **extra)
