# SPDX-License-Identifier: Apache-2.0
"""A node, a witness and a device lose their power at any write, those of SQLite among them.

Every call of the real program is recorded (`recording`), and what the medium may hold after it is
judged by real starts. Here some cuts of a fixed seed; `make chaos` makes all of them.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from fieldpost.client.transport import HttpClient
from fieldpost.client.witness import add_checkpoint
from fieldpost.identity.report import Report
from fieldpost.testing.paper_node import PaperNode
from fieldpost.tlog.note import format_vkey
from fieldpost.watch.witness.keys import make_keys
from tests.crash.agent_kills import board_of_today, once
from tests.crash.device_line import NEW, boots, judge_update, set_up, with_offers
from tests.crash.recorded_cuts import RecordedCuts
from tests.crash.recorded_node import PLAIN, Lives
from tests.crash.recording import Recorder
from tests.crash.test_witness_power_cuts import WAIT_S, known
from tests.unit.watch.witness_world import NAME, ToyLog

pytestmark = [pytest.mark.crash, pytest.mark.e2e]

UNDEFENDED = (sys.executable, "-m", "fieldpost.testing.undefended", "--without", "durable-commits")


def recorded(memory: Path, program: Sequence[str] = PLAIN) -> Lives:
    """The lives of a node."""
    data = memory / "data"
    data.mkdir()
    lives = Lives(Recorder(data, memory), program)
    lives.live()
    return lives


def judged(
    lives: Lives, memory: Path, share: int, forget: Callable[[str], bool] = lambda _: False
) -> RecordedCuts:
    """Cuts at every answer and at one of so many other calls."""
    left = memory / "left"
    left.mkdir()
    cuts = RecordedCuts(lives.recorder, left, lives.judge, told=lives.told, forget=forget)
    cuts.cut_some(share, chance=Random(1), most=2)
    return cuts


def test_no_power_cut_takes_back_what_a_node_process_answered(memory: Path) -> None:
    """Posts, manifests, images, leaves and reports, through a calm end and two kills."""
    lives = recorded(memory)
    lives.recorder.check_complete()
    made = {Path(call.first.decode()).name for call in lives.recorder.calls() if call.what == "c"}
    assert made >= {f"{name}.db-wal" for name in ("state", "catalog", "fleet")}
    cuts = judged(lives, memory, share=16)
    assert cuts.failures == []
    assert cuts.judged > 60


def test_answers_before_sqlite_waits_for_the_disk_are_lost(memory: Path) -> None:
    """The control: the same program with `synchronous=OFF`."""
    lives = recorded(memory, UNDEFENDED)
    cuts = judged(lives, memory, share=1_000)
    assert "acknowledged" in cuts.failures[0]


def test_a_flush_of_sqlites_log_that_the_disk_only_claims_is_missed(memory: Path) -> None:
    """The control: the same calls, and no fsync of one file does anything."""
    lives = recorded(memory)
    cuts = judged(lives, memory, share=1_000, forget=lambda path: path == "fleet.db-wal")
    assert cuts.replay.forgotten > 3
    assert "acknowledged" in cuts.failures[0]


class Arrivals(list[Report]):
    """Reports of a device, and how many calls it had made when each came."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self.counts: list[int] = []

    def append(self, report: Report) -> None:
        """It came."""
        self.counts.append(len(self._recorder.calls()))
        super().append(report)

    def told(self, count: int) -> int:
        """How many had come by then."""
        return sum(at <= count for at in self.counts)


def test_no_power_cut_in_a_devices_process_costs_it_more_than_time(memory: Path) -> None:
    """Check-in, download, slot, trial, confirmation and report, by the program itself."""
    root, left = memory / "device", memory / "left"
    left.mkdir()
    with PaperNode(board_of_today()) as node:
        with_offers(node)
        set_up(root, node)
        recorder = Recorder(root, memory)
        reports = node.reports = Arrivals(recorder)
        with once(root, recorder.environment) as process:
            process.communicate(timeout=WAIT_S)
        assert boots(root) == (NEW,)
        recorder.check_complete()
        now, came = int(time.time()), list(reports)

        def judge(found: Path, count: int) -> None:
            told = reports.told(count)
            node.reports = came[:told]
            judge_update(
                found, node, time=now, new=(NEW,), least={"running": 1 + bool(told), "size": 0}
            )

        cuts = RecordedCuts(recorder, left, judge, told=reports.told)
        cuts.cut_some(1, chance=Random(2), most=4)
    assert cuts.failures == []
    assert cuts.judged > 30


def test_no_power_cut_makes_a_witness_process_forget_what_it_gave_out(memory: Path) -> None:
    data, left, log = memory / "witness", memory / "left", ToyLog()
    left.mkdir()
    make_keys(data, NAME, post_quantum=False)
    recorder = Recorder(data, memory)
    sizes: dict[int, int] = {}
    command = [*PLAIN, "witness", "run", "--data", str(data), "--log", format_vkey(log.keys()[0])]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **recorder.environment},
    ) as process:
        assert process.stdout is not None
        try:
            url = json.loads(process.stdout.readline())["url"]
            with HttpClient(url, timeout_s=WAIT_S) as http:
                for old, size in ((0, 1), (1, 7), (7, 256)):
                    proof, note = log.proof(old, size), log.note(size)
                    add_checkpoint(http, old_size=old, proof=proof, note=note, state=None)
                    sizes[recorder.answered()] = size
        finally:
            process.kill()
    recorder.check_complete()

    def judge(found: Path, count: int) -> None:
        given = max((size for at, size in sizes.items() if at <= count), default=0)
        head = known(found).get(log.origin)
        assert (head.size if head else 0) >= given, f"{given} was given out"

    def told(count: int) -> int:
        return sum(at <= count for at in sizes)

    cuts = RecordedCuts(recorder, left, judge, told=told)
    cuts.cut_some(2, chance=Random(3), most=4)
    assert cuts.failures == []
    assert cuts.judged > 30
    (memory / "again").mkdir()
    control = RecordedCuts(
        recorder, memory / "again", judge, told=told, forget=lambda path: path.endswith("-wal")
    )
    control.cut_some(2, chance=Random(3), most=4)
    # The note beside its keys still knows that there was more, so it refuses to start.
    assert "Misconfigured" in control.failures[0]
