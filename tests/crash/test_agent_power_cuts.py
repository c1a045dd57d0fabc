# SPDX-License-Identifier: Apache-2.0
"""A device on a disk that forgets what was not fsynced boots a whole image, and gets there.

One life meets every cut point: what the power may leave at each change is judged by a second device
that is started in it, against the same node.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from shutil import copytree, rmtree

import pytest

from fieldpost.agent.home import Home
from fieldpost.agent.loop import open_agent
from fieldpost.agent.states import State
from fieldpost.checkin.evidence import decode_evidence
from fieldpost.durable import Disk
from fieldpost.errors import Unavailable, Untrusted
from fieldpost.identity.outcome import Outcome
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.faults import FaultyDisk
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.power_cuts import PowerCuts
from fieldpost.testing.survivors import survivors
from fieldpost.testing.volatile_disk import VolatileDisk
from fieldpost.tlog.checkpoint import parse_checkpoint
from fieldpost.tlog.note import parse_note
from tests.crash.device_line import (
    NEW,
    OLD,
    RADIO,
    Clock,
    boots,
    configure,
    digest_of_request,
    judge_sick,
    judge_update,
    live,
    live_or_rest,
    memory_of,
    reboot,
    set_up,
    wait_two_days,
    with_offers,
)

pytestmark = pytest.mark.crash

FACTORY = {"running": 1, "size": 0}


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard()) as running:
        yield running


@pytest.fixture
def root(memory: Path) -> Path:
    return memory / "device"


def test_without_a_power_cut_the_update_is_confirmed_and_reported(
    root: Path, node: PaperNode
) -> None:
    with_offers(node)
    set_up(root, node)
    clock = Clock(node.board.time)
    assert live(root, clock).reverted == ""
    assert boots(root) == (NEW,)
    memory = memory_of(root)
    assert (memory.running, memory.state, memory.told) == (2, State.IDLE, None)
    assert [report.outcome for report in node.reports] == [Outcome.CONFIRMED]
    assert node.reports[0].components[0].sequence == 2


def test_a_power_cut_at_any_disk_call_of_an_update_costs_nothing_but_time(
    memory: Path, root: Path, node: PaperNode
) -> None:
    """Always a whole image boots; what is trusted never falls; the update is confirmed."""
    with_offers(node)
    set_up(root, node)
    clock, least = Clock(node.board.time), dict(FACTORY)
    disk = VolatileDisk(root)

    def judge(left: Path) -> None:
        judge_update(left, node, time=clock.now, new=(NEW,), least=least)

    cuts = PowerCuts(disk, memory, judge, chance=Random(1), by_lot=1)
    live(root, clock, disk)
    # The maker's fleet was told that release 2 runs: from here on nothing may take that back.
    least |= {"running": 2, "size": memory_of(root).belief.size}
    cuts.promise()
    assert cuts.failures == []
    assert cuts.judged > 80
    assert [report.outcome for report in node.reports] == [Outcome.CONFIRMED]


def test_a_power_cut_in_an_update_of_several_images_never_mixes_two_releases(
    memory: Path, root: Path, node: PaperNode
) -> None:
    with_offers(node, radio=RADIO)
    set_up(root, node)
    clock = Clock(node.board.time)
    disk = VolatileDisk(root)
    turn = 0

    def judge(left: Path) -> None:
        nonlocal turn
        turn += 1
        assert boots(left) in ((OLD,), (NEW, RADIO))
        if turn % 4 == 0:
            judge_update(left, node, time=clock.now, new=(NEW, RADIO), least=FACTORY)

    cuts = PowerCuts(disk, memory, judge, chance=Random(2), by_lot=1)
    live(root, clock, disk)
    assert cuts.failures == []
    assert cuts.judged > 80


def test_no_power_cut_in_a_failing_update_keeps_the_sick_image(
    memory: Path, root: Path, node: PaperNode
) -> None:
    node.publish(2, NEW)
    set_up(root, node, health="false")
    clock = Clock(node.board.time)
    disk = VolatileDisk(root)
    turn = 0

    def judge(left: Path) -> None:
        nonlocal turn
        turn += 1
        assert boots(left) in ((OLD,), (NEW,))
        if turn % 3 == 0:
            judge_sick(left, node, time=clock.now)

    cuts = PowerCuts(disk, memory, judge, chance=Random(3), by_lot=1)
    live(root, clock, disk)
    assert cuts.failures == []
    assert cuts.judged > 80
    for _ in range(5):
        assert live_or_rest(root, clock) in ("", "resting", "failed-before")
        wait_two_days(clock, node)
    assert memory_of(root).failed[0].tries == 3
    assert boots(root) == (OLD,)


def test_no_power_cut_in_the_factory_leaves_a_device_that_cannot_be_set_up(
    memory: Path, root: Path, node: PaperNode
) -> None:
    """It is run again, and the key whose request was handed over is the one that stays."""
    node.publish(2, NEW)
    root.mkdir(0o700)
    disk = VolatileDisk(root)
    handed: list[bytes | None] = [None]

    def judge(left: Path) -> None:
        if not Home(left).memory.exists():
            assert handed[0] is None, "it was set up"
            set_up(left, node)
        configure(left, node, "true")
        assert handed[0] in (None, digest_of_request(left))
        assert boots(left) == (OLD,)
        assert memory_of(left).running == 1

    cuts = PowerCuts(disk, memory, judge, chance=Random(4))
    set_up(root, node, disk=disk)
    handed[0] = digest_of_request(root)
    cuts.promise()
    assert cuts.failures == []
    assert cuts.judged > 40


@pytest.mark.parametrize("evicts", [False, True], ids=["in the cache", "evicted"])
def test_a_device_never_believes_an_fsync_that_lost_its_data(
    memory: Path, root: Path, node: PaperNode, *, evicts: bool
) -> None:
    """One fsync of a file fails and the rest is as ever; then the power goes."""
    with_offers(node)
    set_up(root, node)
    number, fsyncs = 0, 1
    while number < fsyncs:
        device = Path(copytree(root, memory / f"device-{number}", symlinks=True))
        disk = VolatileDisk(device, fsync_fails_at=number, evicts=evicts)
        judge_after_fault(node, device, disk, disk)
        number, fsyncs = number + 1, disk.fsyncs
    assert number > 12


def test_a_device_whose_disk_fails_once_goes_on_and_survives_a_cut(
    memory: Path, root: Path, node: PaperNode
) -> None:
    with_offers(node)
    set_up(root, node)
    at = calls = 0
    while at <= calls:
        device = Path(copytree(root, memory / f"device-{at}", symlinks=True))
        disk = VolatileDisk(device)
        when: tuple[str, str] = ("before", "after")
        faulty = FaultyDisk(fail_at=at, when=when[at % 2], disk=disk)  # type: ignore[arg-type]
        judge_after_fault(node, device, disk, faulty)
        at, calls = at + 3, len(faulty.calls)
    assert at > 60


def judge_after_fault(node: PaperNode, device: Path, disk: VolatileDisk, faulty: Disk) -> None:
    """Two lives on a faulty disk, then the power goes, and what is left is judged."""
    clock = Clock(node.board.time)
    for _ in range(2):
        with suppress(Unavailable, Untrusted):
            live(device, clock, faulty)
    assert boots(device) in ((OLD,), (NEW,))
    told = Outcome.CONFIRMED in [report.outcome for report in node.reports]
    node.reports.clear()
    for number, survivor in enumerate(survivors(disk, chance=Random(1), by_lot=1)):
        left = device.with_name(f"left-{number}")
        survivor.write_to(left)
        if told or memory_of(left).running == 2:
            assert (boots(left), memory_of(left).running) == ((NEW,), 2)
        else:
            judge_update(left, node, time=clock.now, new=(NEW,), least=FACTORY)
        rmtree(left)
    rmtree(device)


def test_two_signed_histories_freeze_updates_and_the_evidence_is_kept(
    root: Path, node: PaperNode
) -> None:
    set_up(root, node)
    clock = Clock(node.board.time)
    twin = node.board.fork()
    node.board.seal([b"what some are shown"])
    live(root, clock)
    first = node.board.checkpoint
    twin.seal([b"what others are shown"])
    node.board = twin
    with pytest.raises(Untrusted, match="split-view"):
        live(root, clock)
    assert memory_of(root).state is State.FROZEN
    (evidence,) = (root / "evidence").iterdir()
    shown = decode_evidence(evidence.read_bytes())
    heads = {parse_checkpoint(parse_note(note).text).root for note in (shown.first, shown.second)}
    assert heads == {first.root, twin.checkpoint.root}
    node.publish(2, NEW)
    with pytest.raises(Untrusted, match="frozen"):
        live(root, clock)
    assert boots(root) == (OLD,)
    with open_agent(Home(root), world=clock.world(), boot=reboot) as agent:
        agent.release()
    live(root, clock)
    assert boots(root) == (NEW,)
