# SPDX-License-Identifier: Apache-2.0
"""What befalls a cluster: each fault does its harm, waits for what must hold meanwhile, and ends.

While no more operators than the board tolerates are hit, posts go on being acknowledged. With one
more nothing is, the nodes that can be asked say why, and when they are back it goes on by itself.
"""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from fieldpost.testing.faulty_node import MODULE
from tests.crash.cluster_load import Crowd
from tests.crash.cluster_rig import Cluster, wait_until
from tests.crash.mounted import fill

MEANWHILE: Final = 50


@dataclass
class Scene:
    """A cluster under load. `disk` is the file system of the last node alone, if it has one."""

    cluster: Cluster
    crowd: Crowd
    chance: Random
    folder: Path
    disk: Path | None = None

    @property
    def nodes(self) -> int:
        return len(self.cluster.nodes)

    @property
    def tolerated(self) -> int:
        """How many may fail."""
        return (self.nodes - 1) // 3

    def some(self, count: int) -> list[int]:
        """That many operators by lot."""
        return sorted(self.chance.sample(range(self.nodes), count))

    def others(self, hit: list[int]) -> list[int]:
        return [number for number in range(self.nodes) if number not in hit]

    def goes_on(self) -> str:
        """Posts are acknowledged all the same."""
        return f"{MEANWHILE} posts meanwhile took {self.crowd.wait_for(MEANWHILE):.1f} s"

    def stops_and_says_so(self, asked: list[int]) -> None:
        """No node that answers is ready, and none publishes anything more."""
        wait_until(
            lambda: all(self.cluster.trouble(number) for number in asked),
            lambda: "they are ready although too few operators are there",
        )
        before = [self.cluster.size(number) for number in asked]
        trouble = [self.cluster.trouble(number) or "" for number in asked]
        assert [self.cluster.size(number) for number in asked] == before
        assert all("operators answer" in said for said in trouble), trouble

    def recovers(self) -> str:
        """Until the next post is acknowledged."""
        return f"{self.crowd.wait_for(1):.1f} s to the next acknowledged post"


Fault = Callable[[Scene], str]


def kill_nodes(scene: Scene) -> str:
    """SIGKILL of as many nodes as are tolerated."""
    hit = scene.some(scene.tolerated)
    scene.cluster.kill(*hit)
    said = scene.goes_on()
    scene.cluster.start(*hit)
    return f"{hit}: {said}"


def kill_too_many(scene: Scene) -> str:
    """SIGKILL of one more."""
    hit = scene.some(scene.tolerated + 1)
    scene.cluster.kill(*hit)
    scene.stops_and_says_so(scene.others(hit))
    began = time.monotonic()
    scene.cluster.start(*hit)
    started = time.monotonic() - began
    return f"{hit}: {started:.1f} s until they served, {scene.recovers()}"


def kill_all(scene: Scene) -> str:
    """A power cut of everybody."""
    everybody = list(range(scene.nodes))
    scene.cluster.kill(*everybody)
    began = time.monotonic()
    scene.cluster.start(*everybody)
    return f"{time.monotonic() - began:.1f} s until they served, {scene.recovers()}"


def kill_comets(scene: Scene) -> str:
    """SIGKILL of CometBFT alone, at one operator after the other."""
    hit = [scene.chance.randrange(scene.nodes) for _ in range(3)]
    waits = []
    for number in hit:
        wait_until(lambda number=number: scene.cluster.comet_pid(number))  # type: ignore[misc]
        scene.cluster.kill_comet(number)
        waits.append(f"{scene.crowd.wait_for(4):.1f} s")
    return f"{hit}: 4 posts each took {', '.join(waits)}"


def pause_node(scene: Scene) -> str:
    """A node that hangs, its CometBFT alive."""
    hit = scene.some(scene.tolerated)
    for number in hit:
        scene.cluster.pause(number)
    said = scene.goes_on()
    for number in hit:
        scene.cluster.resume(number)
    return f"{hit}: {said}"


def pause_comet(scene: Scene) -> str:
    """A CometBFT that hangs, its node alive."""
    hit = scene.some(scene.tolerated)
    for number in hit:
        scene.cluster.pause(number, comet=True)
    said = scene.goes_on()
    for number in hit:
        scene.cluster.resume(number)
    return f"{hit}: {said}"


def pause_too_many(scene: Scene) -> str:
    """More nodes hang than are tolerated."""
    hit = scene.some(scene.tolerated + 1)
    for number in hit:
        scene.cluster.pause(number)
    scene.stops_and_says_so(scene.others(hit))
    for number in hit:
        scene.cluster.resume(number)
    return f"{hit}: {scene.recovers()}"


def cut_off(scene: Scene) -> str:
    """Operators whom no other one reaches; makers and devices do."""
    hit = scene.some(scene.tolerated)
    return _apart(scene, hit, scene.others(hit))


def cut_off_leader(scene: Scene) -> str:
    """Whoever is to propose the next block is cut off."""
    leader = scene.cluster.proposer()
    hit = [0 if leader is None else leader]
    return _apart(scene, hit, scene.others(hit))


def _apart(scene: Scene, few: list[int], many: list[int]) -> str:
    scene.cluster.network.cut(few, many)
    said = scene.goes_on()
    scene.stops_and_says_so(few)
    scene.cluster.network.cut()
    began = time.monotonic()
    size = max(map(scene.cluster.size, many))
    wait_until(lambda: all(scene.cluster.size(number) >= size for number in few))
    return f"{few}: {said}; caught up {time.monotonic() - began:.1f} s after the cut ended"


def split(scene: Scene) -> str:
    """No side has enough."""
    one = scene.some(scene.nodes // 2)
    other = scene.others(one)
    scene.cluster.network.cut(one, other)
    scene.stops_and_says_so([*one, *other])
    scene.cluster.network.cut()
    return f"{one} from {other}: {scene.recovers()}"


def bad_line(scene: Scene) -> str:
    """300 ms one way, and every twentieth packet lost, between all."""
    network = scene.cluster.network
    waits = []
    for delay_s, loss in ((0.3, 0.0), (0.0, 0.05), (0.3, 0.05)):
        network.delay_s, network.loss = delay_s, loss
        waits.append(f"{scene.crowd.wait_for(MEANWHILE, seconds=600):.1f} s")
    network.delay_s, network.loss = 0.0, 0.0
    return f"{MEANWHILE} posts took {waits[0]} late, {waits[1]} lossy, {waits[2]} both"


def wipe(scene: Scene) -> str:
    """A node that lost everything but its keys."""
    (hit,) = scene.some(1)
    scene.cluster.kill(hit)
    scene.cluster.wipe(hit)
    said = scene.goes_on()
    began = time.monotonic()
    scene.cluster.start(hit)
    size = max(map(scene.cluster.size, scene.others([hit])))
    wait_until(lambda: scene.cluster.size(hit) >= size)
    return f"{hit}: {said}; {size} entries again after {time.monotonic() - began:.1f} s"


def roll(scene: Scene) -> str:
    """An upgrade: one after the other ends and starts, under load."""
    for number in range(scene.nodes):
        scene.cluster.end(number)
        scene.crowd.wait_for(2)
        scene.cluster.start(number)
        scene.cluster.wait_ready([number])
    return "all of them"


def fill_disk(scene: Scene) -> str:
    """The last node's disk is full, and has room again."""
    assert scene.disk is not None
    hit = scene.nodes - 1
    ballast = fill(scene.disk)
    said = scene.goes_on()
    wait_until(lambda: scene.cluster.trouble(hit))
    trouble = scene.cluster.trouble(hit)
    ballast.unlink()
    began = time.monotonic()
    scene.cluster.wait_ready([hit])
    return (
        f"{said}; it said {trouble!r}; ready {time.monotonic() - began:.1f} s after there was room"
    )


def wrong_clock(scene: Scene) -> str:
    """A node whose program takes the time to be hours before or after."""
    (hit,) = scene.some(1)
    seconds = scene.chance.choice((-3 * 3_600, -300, 300, 3 * 3_600))
    with _started_with(scene, hit, f"clock={seconds}"):
        scene.cluster.start(hit)
        said = scene.goes_on()
        scene.cluster.kill(hit)
    scene.cluster.start(hit)
    return f"{hit}, {seconds} s: {said}"


def wrong_machine_clock(scene: Scene) -> str:
    """The clock of an operator's whole machine: its node's and its CometBFT's, five minutes."""
    (hit,) = scene.some(1)
    told = []
    for seconds in scene.chance.sample((-300, 300), 2):
        with _started_with(scene, hit, f"clock={seconds}", f"comet-clock={seconds}"):
            scene.cluster.start(hit)
            said = scene.goes_on()
            if seconds < 0:
                # Blocks of the others come from its future; one that is ahead may vote on.
                wait_until(
                    lambda: "more than a minute behind" in (scene.cluster.trouble(hit) or ""),
                    lambda: scene.cluster.trouble(hit),
                )
            scene.cluster.kill(hit)
        scene.cluster.start(hit)
        scene.cluster.wait_ready([hit])
        told.append(f"{seconds} s: {said}")
    return f"{hit}: {'; '.join(told)}"


def die_in_block(scene: Scene) -> str:
    """Killed between FinalizeBlock and Commit, and within Commit."""
    (hit,) = scene.some(1)
    for fault in ("die-decided", "die-appended"):
        scene.cluster.kill(hit)
        with _started_with(scene, hit, f"{fault}={scene.chance.randint(1, 3)}"):
            scene.cluster.start(hit)
            process = scene.cluster.nodes[hit].process
            assert process is not None
            wait_until(lambda process=process: process.poll() is not None)  # type: ignore[misc]
            assert process.returncode == -9
        scene.cluster.start(hit)
        scene.cluster.wait_ready([hit])
    return f"{hit}: twice"


def other_build(scene: Scene) -> str:
    """A build that computes something else: it stops, says so, and signed nothing of it."""
    (hit,) = scene.some(1)
    scene.cluster.kill(hit)
    # Of this life: what it publishes from here on is what the others do.
    with _started_with(scene, hit, f"other-root={scene.chance.randint(2, 4)}"):
        scene.cluster.start(hit)
        wait_until(
            lambda: "computes another board" in (scene.cluster.trouble(hit) or ""),
            lambda: scene.cluster.trouble(hit),
        )
        said = scene.goes_on()
        stopped = scene.cluster.size(hit)
        assert stopped < max(map(scene.cluster.size, scene.others([hit])))
        scene.cluster.kill(hit)
    # The right build again: what the wrong one wrote is taken away first.
    scene.cluster.wipe(hit)
    scene.cluster.start(hit)
    return f"{hit}: {said}"


def restore(scene: Scene) -> str:
    """A data folder is put back from an old copy of the whole of it."""
    (hit,) = scene.some(1)
    backup = scene.folder / "backup"
    scene.cluster.end(hit)
    scene.cluster.copy(hit, backup)
    scene.cluster.start(hit)
    scene.cluster.wait_ready([hit])
    scene.goes_on()
    scene.cluster.kill(hit)
    said = scene.goes_on()
    scene.cluster.put_back(hit, backup)
    scene.cluster.start(hit)
    return f"{hit}: {said}"


@contextmanager
def _started_with(scene: Scene, number: int, *faults: str) -> Iterator[None]:
    """A node's next lives are of a program with these faults."""
    node = scene.cluster.nodes[number]
    words = [word for fault in faults for word in ("--fault", fault)]
    before, node.words = node.words, (MODULE, *words)
    if node.process is not None:
        scene.cluster.kill(number)
    try:
        yield
    finally:
        node.words = before


FAULTS: Final[dict[str, Fault]] = {
    fault.__name__: fault
    for fault in (
        kill_nodes,
        kill_too_many,
        kill_all,
        kill_comets,
        pause_node,
        pause_comet,
        pause_too_many,
        cut_off,
        cut_off_leader,
        split,
        bad_line,
        wipe,
        roll,
        fill_disk,
        wrong_clock,
        *([wrong_machine_clock] if platform.machine() == "x86_64" else []),
        die_in_block,
        other_build,
        restore,
    )
}
