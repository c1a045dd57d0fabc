# SPDX-License-Identifier: Apache-2.0
"""Slots behind commands, and wishes of a person, on a disk that forgets what was not fsynced.

The machine around them (partitions, a boot loader that tries once) is real files in shell; what a
cut leaves of the agent's own is put beside a copy of it, which is then booted until it settles.
"""

import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from shutil import copytree, rmtree

import pytest

from fieldpost.agent.home import Home
from fieldpost.agent.permission import postpone, wish_of
from fieldpost.agent.slots.base import Boot
from fieldpost.agent.slots.exec import ExecSlots
from fieldpost.durable import OS, Disk
from fieldpost.errors import Unavailable
from fieldpost.records.head import Conditions
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.faults import FaultyDisk
from fieldpost.testing.forgetful import ForgetfulDisk, fsync_sites
from fieldpost.testing.images import filled
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.power_cuts import PowerCuts
from fieldpost.testing.volatile_disk import VolatileDisk
from tests.crash.device_line import NEW, OLD, Clock, boots, live, memory_of, set_up
from tests.unit.agent.test_exec_slots import IMAGE, Machine, Rebooted
from tests.unit.agent.test_exec_slots import NEW as HANDED

pytestmark = pytest.mark.crash

HOUR_S = 3_600
NEEDED = ("write_file", "_write_temporary.fill")


def slots_of(machine: Machine, disk: Disk) -> ExecSlots:
    return machine.slots(disk)


def booted(machine: Machine, disk: Disk) -> Boot:
    """Start as often as it takes until no reboot is asked for."""
    for _ in range(8):
        with suppress(Rebooted):
            return slots_of(machine, disk).start()
    raise AssertionError("it boots for ever")


class Judge:
    """What a cut left settles on an image that was proven; after a confirm, on the new one."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.is_confirmed = False
        self._folder = folder
        self._turn = 0

    def __call__(self, left: Path) -> None:
        self._turn += 1
        root = self._folder / f"machine-{self._turn}"
        root.mkdir()
        for path in self.machine.root.iterdir():
            if path.is_file():
                (root / path.name).write_bytes(path.read_bytes())
        copytree(left, root / "slots")
        machine = Machine.__new__(Machine)
        machine.root, machine.number, machine.scripts = root, 0, self.machine.scripts
        machine.power_cycle()
        disk = VolatileDisk(root / "slots")
        boot = booted(machine, disk)
        if boot is Boot.TRIAL:
            slots_of(machine, disk).revert()
            with suppress(Rebooted):
                slots_of(machine, disk).reboot()
            boot = booted(machine, disk)
        assert boot is not Boot.TRIAL, "an image that was not confirmed is on trial for ever"
        running = slots_of(machine, disk).running()
        kept = (root / "kept").read_text().strip()
        assert machine.current == kept, "what runs is not what the next boot takes"
        assert (kept == "b") == (running == IMAGE), "the facts are of another image"
        assert kept == "b" or not self.is_confirmed, "a confirmed image is gone"
        rmtree(root)


def update(machine: Machine, disk: Disk, judge: Judge, cuts: PowerCuts) -> None:
    slots = slots_of(machine, disk)
    slots.start()
    slots.install(IMAGE, filled(HANDED))
    slots.begin_trial()
    machine.power_cycle()
    slots = slots_of(machine, disk)
    assert slots.start() is Boot.TRIAL
    slots.confirm()
    judge.is_confirmed = True
    cuts.promise()


def cut_updates(
    folder: Path, disk_over: type[VolatileDisk] = VolatileDisk, **more: object
) -> PowerCuts:
    machine = Machine(folder / "machine")
    root = machine.root / "slots"
    root.mkdir()
    disk = disk_over(root, **more)  # type: ignore[arg-type]
    judge = Judge(machine, folder)
    (folder / "left").mkdir()
    cuts = PowerCuts(disk, folder / "left", judge, chance=Random(7), by_lot=1)
    update(machine, disk, judge, cuts)
    return cuts


def test_no_power_cut_keeps_an_image_behind_commands_that_nobody_confirmed(memory: Path) -> None:
    cuts = cut_updates(memory)
    assert cuts.failures == []
    assert cuts.judged > 25


def test_slots_behind_commands_lean_on_the_fsyncs_of_durable(memory: Path) -> None:
    """The control: the note of a trial without its bytes, or without its name, and it shows."""
    missed = set(NEEDED)
    for site in fsync_sites():
        if site.function not in NEEDED:
            continue
        folder = memory / str(site.line)
        folder.mkdir()
        if cut_updates(folder, ForgetfulDisk, site=site).failures:
            missed.discard(site.function)
    assert not missed, "nothing notices that these fsyncs are gone"


def test_a_full_disk_ends_an_attempt_behind_commands_and_the_next_one_succeeds(
    memory: Path,
) -> None:
    at, is_reached = 0, True
    while is_reached:
        machine = Machine(memory / f"machine-{at}")
        disk = FaultyDisk(fail_at=at, error=errno.ENOSPC)
        for one in (disk, OS):
            with suppress(Unavailable):
                slots = slots_of(machine, one)
                boot = slots.start()
                if boot is Boot.CONFIRMED and slots.running() == IMAGE:
                    break  # a command had confirmed it; that is written down now
                if boot is not Boot.TRIAL:  # a boot loader that was told may try it all the same
                    slots.install(IMAGE, filled(HANDED))
                    slots.begin_trial()
                    machine.power_cycle()
                    assert slots_of(machine, one).start() is Boot.TRIAL
                slots_of(machine, one).confirm()
                break
            machine.power_cycle()
        assert booted(machine, OS) is Boot.CONFIRMED
        assert slots_of(machine, OS).running() == IMAGE
        assert (machine.root / "kept").read_text().strip() == machine.current == "b"
        at, is_reached = at + 3, len(disk.calls) > at
    assert at > 40


# --- a person's wish ---


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard()) as running:
        yield running


def waiting(root: Path, node: PaperNode) -> Clock:
    """A device whose owner puts off for an hour an offer that allows three."""
    set_up(root, node)
    config = root / "agent.toml"
    config.write_text(config.read_text() + f"postpone_s = {HOUR_S}\n")
    node.publish(2, NEW)
    allowed = Conditions(postpone_s=3 * HOUR_S)
    node.board.offer(*(replace(offer, conditions=allowed) for offer in node.board.head.offers))
    clock = Clock(node.board.time)
    live(root, clock)
    assert memory_of(root).pending is not None
    return clock


def later(root: Path, node: PaperNode, now: int) -> bool:
    """Whether the device has taken the offer by `now`."""
    node.board.time = now
    node.board.seal()
    live(root, Clock(now))
    return boots(root) == (NEW,)


def test_a_wish_is_there_whole_or_not_at_all_and_is_not_lost_once_it_was_taken(
    memory: Path, node: PaperNode
) -> None:
    """Without it the owner's hour counts, with it the person's two; never more than three."""
    root = memory / "device"
    clock = waiting(root, node)
    disk = VolatileDisk(root)
    is_promised = False

    def judge(left: Path) -> None:
        board = node.board
        node.board = board.fork()
        try:
            is_wished = wish_of(Home(left)).exists()
            assert is_wished or not is_promised, "the wish is gone"
            is_taken = later(left, node, clock.now + HOUR_S + 60)
            assert is_taken != is_wished
            assert later(left, node, clock.now + 3 * HOUR_S + 120)
        finally:
            node.board = board

    (memory / "left").mkdir()
    cuts = PowerCuts(disk, memory / "left", judge, chance=Random(8), by_lot=1)
    postpone(Home(root, disk), 2 * HOUR_S)
    is_promised = True
    cuts.promise()
    assert cuts.failures == []
    assert cuts.judged > 4
    assert boots(root) == (OLD,)
