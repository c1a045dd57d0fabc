# SPDX-License-Identifier: Apache-2.0
"""An agent process killed at random moments of an update, over and over, until it is through.

After every kill a whole image boots, and never one that is older than what was confirmed.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

from fieldpost.agent.enrolment import Base, enrol
from fieldpost.agent.home import Home
from fieldpost.agent.states import State
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.paper_node import PaperNode
from tests.crash.device_line import boots, configure, memory_of

RUN_S: Final = 60
MOST_PHASE_S: Final = 1.5
OLD: Final = Random(1).randbytes(300_000)
NEW: Final = Random(2).randbytes(4_000_000)
# So many lives without a kill are enough, whatever the kills left behind.
LIVES: Final = 8


def board_of_today() -> PaperBoard:
    """A board whose time is now, as an agent process has no other clock."""
    return PaperBoard(time=int(time.time()))


class Campaign:
    """Devices of one node, below `folder`. `say` is told what was found."""

    def __init__(
        self, folder: Path, node: PaperNode, *, seed: int, say: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._node = node
        self._chance = Random(seed)
        self._say = say
        self._devices = 0
        node.publish(2, NEW)
        device = self._new_device()
        with once(device) as process:
            out, _ = process.communicate(timeout=RUN_S)
        assert process.returncode == 0
        assert boots(device) == (NEW,)
        self._words = len(out.splitlines())

    def _new_device(self) -> Path:
        self._devices += 1
        device, image = self._folder / f"device-{self._devices}", self._folder / "old.bin"
        image.write_bytes(OLD)
        provisioning = self._node.board.provisioning(
            least_size=0, least_interval_s=1, most_interval_s=1
        )
        base = Base(images={"image": image}, sequence=1, version="1.0")
        enrol(Home(device), provisioning=provisioning, serial=device.name, base=base)
        configure(device, self._node, "true")
        return device

    def update(self, *, kills: int) -> None:
        """One device, killed `kills` times; raises AssertionError if it ever was none."""
        device, states = self._new_device(), list[str]()
        running = 1
        for _ in range(kills):
            with once(device) as process:
                # The phases are of very unlike lengths: first which one, then when in it.
                for _ in range(self._chance.randrange(self._words)):
                    assert process.stdout is not None
                    process.stdout.readline()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(self._chance.random() ** 3 * MOST_PHASE_S)
                process.kill()
            assert boots(device) in ((OLD,), (NEW,))
            memory = memory_of(device)
            states.append(str(memory.state))
            assert memory.running >= running, "what was confirmed is forgotten"
            running = memory.running
            assert running == 1 or boots(device) == (NEW,), "what was confirmed does not boot"
        for _ in range(LIVES):
            with once(device) as process:
                process.communicate(timeout=RUN_S)
            memory = memory_of(device)
            if memory.running == 2 and memory.state is State.IDLE:
                break
            # It rests for a second after a trial that a kill ended.
            threading.Event().wait(max(0.0, memory.install_after - time.time()))
        assert (boots(device), memory_of(device).running) == ((NEW,), 2)
        assert memory_of(device).failed == (), "a kill was counted against the image"
        self._say(f"killed in {', '.join(states)}; then updated")


def once(device: Path, more: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
    """One run of an agent process, with `more` in its environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "fieldpost.cli", "agent", "once", "--home", str(device), "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(more or {})},
    )
