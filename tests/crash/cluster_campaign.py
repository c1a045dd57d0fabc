# SPDX-License-Identifier: Apache-2.0
"""A cluster under load through one fault after the other, and what a stranger finds afterwards."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from tests.crash.cluster_faults import FAULTS, Scene
from tests.crash.cluster_load import Crowd
from tests.crash.cluster_reader import Reader, signers_of
from tests.crash.cluster_rig import ORIGIN, running_cluster, wait_until
from tests.crash.mounted import mounted
from tests.crash.node_kills import read_log

WARM_UP: Final = 10
ANSWER_S: Final = 60.0
_DISK: Final = "size=192m"


class Campaign:
    """One board below `folder`. `say` is told what happened."""

    def __init__(
        self, folder: Path, *, nodes: int = 4, seed: int, say: Callable[[str], None]
    ) -> None:
        self._stack = ExitStack()
        self._say = say
        self._chance = Random(seed)
        folder.mkdir(parents=True, exist_ok=True)
        with self._stack:
            disk = self._stack.enter_context(
                mounted(folder / f"n{nodes - 1}", "-t", "tmpfs", "-o", _DISK, "tmpfs")
            )
            cluster = self._stack.enter_context(running_cluster(folder, nodes=nodes, seed=seed))
            quorum = nodes - (nodes - 1) // 3
            self.reader = Reader(ORIGIN, signers_of(cluster.record), quorum)
            self.crowd = Crowd(cluster, self.reader, seed=seed)
            self.scene = Scene(cluster, self.crowd, self._chance, folder, disk)
            self._stack = self._stack.pop_all()

    def __enter__(self) -> Self:
        self.crowd.start()
        self.crowd.wait_for(WARM_UP)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def befall(self, names: Iterable[str]) -> None:
        """These faults, by name, and all well after each."""
        for name in names:
            began = time.monotonic()
            told = FAULTS[name](self.scene)
            well = time.monotonic()
            self.scene.cluster.wait_ready()
            self.crowd.wait_for(1)
            self._say(
                f"{name} {told} (all ready {time.monotonic() - well:.1f} s later, "
                f"{time.monotonic() - began:.0f} s in all)"
            )

    def draw(self, count: int, of: Sequence[str]) -> list[str]:
        """That many faults by lot, all of them before any comes again."""
        names: list[str] = []
        while len(names) < count:
            names += self._chance.sample(of, len(of))
        return names[:count]

    def finish(self) -> None:
        """The load ends; every node's log, bundle and head against all that was ever seen."""
        self.crowd.stop()
        cluster = self.scene.cluster
        cluster.wait_ready()
        numbers = range(len(cluster.nodes))
        wait_until(lambda: len({cluster.size(number) for number in numbers}) == 1)
        logs = [read_log(node.data) for node in cluster.nodes]
        for number, log in enumerate(logs):
            assert log == logs[0], f"n{number} has another history"
            note = cluster.fetch(number, "/log/checkpoint", seconds=ANSWER_S)
            self.reader.note(note, published=True)
            self.crowd.device.check_in_at(number, seconds=ANSWER_S)
        self.reader.check_history(logs[0])
        installed = self.crowd.device.installed
        assert installed == sorted(set(installed)), "a device installed what is older"
        self._check_votes()
        self._say(
            f"{self.crowd.acknowledged} posts acknowledged, {len(logs[0])} entries, "
            f"{len(self.reader.heads)} sizes and {len(self.reader.signed)} signatures seen, "
            f"{self.crowd.device.checked} check-ins, {len(installed) - 1} installations"
        )

    def _check_votes(self) -> None:
        """Nobody's validator key voted twice: no block carries evidence of it."""
        ask = partial(self.scene.cluster.ask_comet, 0, seconds=ANSWER_S)
        height = int(ask("/status")["sync_info"]["latest_block_height"])  # type: ignore[index]
        for number in range(1, height + 1):
            block = ask(f"/block?height={number}")["block"]
            assert block["evidence"]["evidence"] == [], f"evidence in block {number}"  # type: ignore[index]
