# SPDX-License-Identifier: Apache-2.0
"""A device whose power fails at any disk call of an update boots a whole image and gets there."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal, NoReturn

import pytest

from fieldpost.agent.enrolment import Base, enrol
from fieldpost.agent.home import Home
from fieldpost.agent.loop import OneRun, open_agent, run_once
from fieldpost.agent.memory import Memory, load_memory
from fieldpost.agent.states import State
from fieldpost.agent.world import Facts, World
from fieldpost.durable import OS, Disk
from fieldpost.errors import Unavailable, Untrusted
from fieldpost.identity.outcome import Outcome
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.faults import FaultyDisk, PowerCut
from fieldpost.testing.paper_node import PaperNode

pytestmark = pytest.mark.crash

OLD, NEW = b"the old image" * 1_000, b"the new image" * 2_000


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


def is_cut(root: Path, clock: Clock, disk: FaultyDisk) -> bool:
    """One life on a disk that fails; whether it got as far as that."""
    try:
        live(root, clock, disk)
    except PowerCut:
        return True
    return False


def wait_two_days(clock: Clock, node: PaperNode) -> None:
    clock.now += 86_400 * 2
    node.board.time = clock.now
    node.board.seal()


def memory_of(root: Path) -> Memory:
    return load_memory(Home(root).memory)


def boots(root: Path) -> bytes:
    return (root / "slots" / "current" / "image").read_bytes()


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard()) as running:
        yield running


def set_up(root: Path, node: PaperNode, health: str = "true") -> None:
    image = root.parent / "old.bin"
    image.write_bytes(OLD)
    provisioning = node.board.provisioning(least_size=0)
    base = Base(images={"image": image}, sequence=1, version="1.0")
    enrol(Home(root), provisioning=provisioning, serial="SN-1", base=base)
    settings = f'urls = ["{node.url}"]\nhealth_check = ["{health}"]\ntrial_check_in_s = 60\n'
    (root / "agent.toml").write_text(settings)


def test_without_a_power_cut_the_update_is_confirmed_and_reported(
    tmp_path: Path, node: PaperNode
) -> None:
    node.publish(2, NEW)
    set_up(tmp_path / "device", node)
    clock = Clock(node.board.time)
    assert live(tmp_path / "device", clock).reverted == ""
    assert boots(tmp_path / "device") == NEW
    memory = memory_of(tmp_path / "device")
    assert (memory.running, memory.state, memory.told) == (2, State.IDLE, None)
    assert [report.outcome for report in node.reports] == [Outcome.CONFIRMED]
    assert node.reports[0].components[0].sequence == 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_power_cut_at_any_disk_call_of_an_update_costs_nothing_but_time(
    tmp_path: Path, node: PaperNode, when: Literal["before", "after"]
) -> None:
    """Always a whole image boots; the running sequence never falls; the update is confirmed."""
    node.publish(2, NEW)
    for cut in count():
        root = tmp_path / f"cut{cut}"
        set_up(root, node)
        node.reports.clear()
        clock = Clock(node.board.time)
        if not is_cut(root, clock, FaultyDisk(fail_at=cut, when=when, power_cut=True)):
            break
        running = memory_of(root).running
        assert boots(root) in (OLD, NEW)
        for _ in range(3):
            # Where the trial died with the power, its image is left alone for a while.
            reason = live_or_rest(root, clock)
            assert (reason, boots(root)) in (("", NEW), ("resting", OLD))
            assert memory_of(root).running >= running
            running = memory_of(root).running
            wait_two_days(clock, node)
        assert boots(root) == NEW
        memory = memory_of(root)
        assert (memory.running, memory.state, memory.failed) == (2, State.IDLE, ())
        assert Outcome.CONFIRMED in [report.outcome for report in node.reports]
        orders = [(report.boot_count, report.counter) for report in node.reports]
        assert orders == sorted(set(orders))
    assert cut > 60


def test_a_power_cut_in_a_failing_update_never_keeps_the_sick_image(
    tmp_path: Path, node: PaperNode
) -> None:
    """Cut at every third disk call: where exactly does not matter, that it is everywhere does."""
    node.publish(2, NEW)
    for cut in count(step=3):
        root = tmp_path / f"cut{cut}"
        set_up(root, node, health="false")
        clock = Clock(node.board.time)
        if not is_cut(root, clock, FaultyDisk(fail_at=cut, power_cut=True)):
            break
        for _ in range(6):
            assert live_or_rest(root, clock) in ("", "resting", "failed-before")
            assert boots(root) == OLD
            wait_two_days(clock, node)
        memory = memory_of(root)
        assert (memory.running, memory.state) == (1, State.IDLE)
        assert memory.failed[0].tries == 3
    assert cut > 60


def test_a_disk_that_fails_once_is_an_error_and_the_next_life_goes_on(
    tmp_path: Path, node: PaperNode
) -> None:
    node.publish(2, NEW)
    failed = 0
    for bad in count(step=3):
        root = tmp_path / f"bad{bad}"
        set_up(root, node)
        clock = Clock(node.board.time)
        disk = FaultyDisk(fail_at=bad)
        with suppress(Unavailable, Untrusted):
            live(root, clock, disk)
        if len(disk.calls) <= bad:
            break
        failed += 1
        for _ in range(2):
            assert live_or_rest(root, clock) in ("", "resting")
            assert boots(root) in (OLD, NEW)
            wait_two_days(clock, node)
        assert boots(root) == NEW
        assert memory_of(root).failed == ()
    assert failed > 20


def test_two_signed_histories_freeze_updates_and_the_evidence_is_kept(
    tmp_path: Path, node: PaperNode
) -> None:
    root = tmp_path / "device"
    set_up(root, node)
    clock = Clock(node.board.time)
    twin = node.board.fork()
    node.board.seal([b"what some are shown"])
    live(root, clock)
    first = node.board.bundle()
    twin.seal([b"what others are shown"])
    node.board = twin
    with pytest.raises(Untrusted, match="split-view"):
        live(root, clock)
    assert memory_of(root).state is State.FROZEN
    (evidence,) = (root / "evidence").iterdir()
    assert first in evidence.read_bytes()
    assert twin.bundle() in evidence.read_bytes()
    node.publish(2, NEW)
    with pytest.raises(Untrusted, match="frozen"):
        live(root, clock)
    assert boots(root) == OLD
    with open_agent(Home(root), world=clock.world(), boot=reboot) as agent:
        agent.release()
    live(root, clock)
    assert boots(root) == NEW


def test_a_power_cut_in_an_update_of_several_images_never_mixes_two_releases(
    tmp_path: Path, node: PaperNode
) -> None:
    """Cut at every third disk call; the boot link leads to images of one release, all of it."""
    radio = b"the new radio" * 3_000
    node.publish(2, NEW, radio=radio)
    for cut in count(step=3):
        root = tmp_path / f"cut{cut}"
        set_up(root, node)
        clock = Clock(node.board.time)
        if not is_cut(root, clock, FaultyDisk(fail_at=cut, power_cut=True)):
            break
        for _ in range(3):
            images = [path.read_bytes() for path in sorted((root / "slots/current").glob("image*"))]
            assert images in ([OLD], [NEW, radio])
            live_or_rest(root, clock)
            wait_two_days(clock, node)
        assert boots(root) == NEW
        memory = memory_of(root)
        assert (memory.running, memory.state, memory.failed) == (2, State.IDLE, ())
    assert cut > 60
