# SPDX-License-Identifier: Apache-2.0
"""A node process loses its power at any of its writes, those of SQLite among them.

Every call of the real program is recorded (`recording`), and what the medium may hold after it is
judged by real starts. Here some cuts of a fixed seed; `make chaos` makes all of them.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from tests.crash.recorded_node import PLAIN, Judge, Lives
from tests.crash.recording import Recorder

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
) -> Judge:
    """Cuts at every answer and at one of so many other calls."""
    left = memory / "left"
    left.mkdir()
    judge = Judge(lives, left, forget=forget)
    judge.cut_some(share, chance=Random(1), most=2)
    return judge


def test_no_power_cut_takes_back_what_a_node_process_answered(memory: Path) -> None:
    """Posts, manifests, images, leaves and reports, through a calm end and two kills."""
    lives = recorded(memory)
    lives.recorder.check_complete()
    made = {Path(call.first.decode()).name for call in lives.recorder.calls() if call.what == "c"}
    assert made >= {f"{name}.db-wal" for name in ("state", "catalog", "fleet")}
    judge = judged(lives, memory, share=12)
    assert judge.failures == []
    assert judge.judged > 80


def test_answers_before_sqlite_waits_for_the_disk_are_lost(memory: Path) -> None:
    """The control: the same program with `synchronous=OFF`."""
    lives = recorded(memory, UNDEFENDED)
    judge = judged(lives, memory, share=1_000)
    assert "acknowledged" in judge.failures[0]


def test_a_flush_of_sqlites_log_that_the_disk_only_claims_is_missed(memory: Path) -> None:
    """The control: the same calls, and no fsync of one file does anything."""
    lives = recorded(memory)
    judge = judged(lives, memory, share=1_000, forget=lambda path: path == "fleet.db-wal")
    assert judge.replay.forgotten > 3
    assert "acknowledged" in judge.failures[0]
