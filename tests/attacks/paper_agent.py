# SPDX-License-Identifier: Apache-2.0
"""A whole agent on a disk, without processes: a boot is an exception, and time is the test's.

agent = AgentOnPaper(tmp_path, node)       runs release 1 (radio=b"…": of two images)
agent.live()                               one check-in with all its boots; why nothing came
agent.runs()                               (sequence, bytes of the image that boots)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from fieldpost.agent.enrolment import Base, enrol
from fieldpost.agent.home import Home
from fieldpost.agent.loop import open_agent, run_once
from fieldpost.agent.memory import Memory, load_memory
from fieldpost.agent.offline import OfflineUpdate
from fieldpost.agent.runtime import Agent
from fieldpost.agent.world import Facts, World
from fieldpost.errors import FieldpostError, Untrusted
from fieldpost.testing.paper_node import PaperNode

OLD: Final = b"the image that the factory put there"


class Rebooted(BaseException):
    """The agent was executed anew."""


def _reboot() -> NoReturn:
    raise Rebooted


@dataclass
class Clock:
    """Time that only the test moves. A clock that is not set says the year 1970."""

    now: int
    is_set: bool = True
    events: list[tuple[str, Facts]] = field(default_factory=list)

    def world(self) -> World:
        def emit(event: str, facts: Facts) -> None:
            self.events.append((event, facts))

        return World(
            emit=emit,
            clock=lambda: self.now if self.is_set else 0,
            uptime=lambda: float(self.now),
            chance=lambda: 0.5,
            pause=self.pause,
        )

    def pause(self, seconds: float) -> None:
        self.now += int(seconds) + 1


class AgentOnPaper:
    """One device with release 1, set up for the node's board, that asks `urls` (None: the node)."""

    old = OLD
    rebooted = Rebooted

    def __init__(
        self,
        folder: Path,
        node: PaperNode,
        *,
        urls: tuple[str, ...] = (),
        health: str = "true",
        **more: bytes,
    ) -> None:
        self.home = Home(folder / "device")
        self.clock = Clock(node.board.time)
        image = folder / "old.bin"
        image.write_bytes(OLD)
        images = {"image": image}
        for name, data in more.items():
            images[name] = folder / f"old-{name}.bin"
            images[name].write_bytes(data)
        base = Base(images=images, sequence=1, version="1.0")
        enrol(self.home, provisioning=node.board.provisioning(), serial="SN-1", base=base)
        asked = ", ".join(f'"{url}"' for url in urls or (node.url,))
        self.home.config.write_text(
            f'urls = [{asked}]\nhealth_check = ["{health}"]\ntrial_check_in_s = 60\n'
        )

    @contextmanager
    def awake(self) -> Iterator[Agent]:
        """The agent as it runs on, for several check-ins in one life."""
        with open_agent(self.home, world=self.clock.world(), boot=_reboot) as agent:
            agent.start()
            yield agent

    def live(self, *, rebooted: bool = False, update: OfflineUpdate | None = None) -> str:
        """One check-in, or that of a file, through as many boots as it takes; the reason why
        nothing came, or ""."""
        while True:
            world = self.clock.world()
            try:
                with open_agent(self.home, world=world, boot=_reboot) as agent:
                    return run_once(agent, world, rebooted=rebooted, update=update).reverted
            except Rebooted:
                rebooted, update = True, None
            except Untrusted as refused:
                return refused.reason
            except FieldpostError as error:
                return type(error).__name__.lower()

    def runs(self) -> tuple[int, bytes]:
        """The running sequence, and the image that the next boot takes."""
        return self.memory().running, (self.home.slots / "current" / "image").read_bytes()

    def images(self) -> list[bytes]:
        """The bytes of every image that the next boot takes, in order."""
        current = self.home.slots / "current"
        return [path.read_bytes() for path in sorted(current.glob("image*"))]

    def memory(self) -> Memory:
        """What is on the disk."""
        return load_memory(self.home.memory)

    def told(self, event: str) -> list[Facts]:
        """The facts of every such event so far."""
        return [facts for name, facts in self.clock.events if name == event]
