# SPDX-License-Identifier: Apache-2.0
"""An operator that lost all but its keys comes back by a snapshot, or by every block.

    python -m benchmarks --only state-sync

Four operators on this machine; the keys and values come from true posts, each judged by all. With
a snapshot the log comes as static files from another operator. Nothing else is posted meanwhile.
"""

import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.clusters import ClusterCrowd, RunningNode, cluster, has_cometbft, wait_until
from benchmarks.measure import Result
from benchmarks.replicated import load
from fieldpost.engines.cometbft.snapshots import CHUNK_BYTES

_MAKERS = 40
# With eight channels each of these makes eleven keys.
_CLASSES = 227
# As many as are surely published before a sender is told to come back.
_AT_ONCE = 800
_PATIENCE_S = 900.0


def results() -> Iterator[Result]:
    """Fill a board, then let one operator come back twice."""
    if not has_cometbft():
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        crowd = ClusterCrowd(Path(name) / "c", makers=_MAKERS)
        last = crowd.data_of[-1]
        for n in range(len(crowd.data_of)):
            _add_setting(crowd, n, "snapshot_blocks = 5")
        posts = crowd.wide_classes(_CLASSES)
        with cluster(crowd) as nodes:
            for start in range(0, len(posts), _AT_ONCE):
                load(nodes, posts[start : start + _AT_ONCE])
            blocks, _ = _come_back(nodes)
            _add_setting(crowd, len(nodes) - 1, f"state_sync = {json.dumps(_two(nodes))}")
            snapshot, cpu = _come_back(nodes)
        # Stopped, its database has everything in its tables.
        keys, size = _map_of(last)
        yield Result(what=f"snapshot of {keys} keys", unit="MB", ours=size / 1e6)
        yield Result(what="  chunks", unit="", ours=-(-size // CHUNK_BYTES))
        yield Result(
            what="a wiped operator publishes again, by a snapshot",
            unit="s",
            ours=snapshot,
            against="by every block",
            theirs=blocks,
            at_most=True,
        )
        yield Result(what="  keys restored in a second", unit="keys/s", ours=keys / snapshot)
        yield Result(what="  processor time, both processes", unit="s", ours=cpu)


def _come_back(nodes: Sequence[RunningNode]) -> tuple[float, float]:
    """Seconds of the last operator from its start until it publishes what the others do; CPU."""
    last = nodes[-1]
    last.kill()
    # What this board began with is in no block: an operator copies it before anything else.
    last.wipe()
    size = nodes[0].size()
    began = time.perf_counter()
    last.spawn()
    last.wait_started()
    wait_until(lambda: last.size() >= size, _PATIENCE_S)
    return time.perf_counter() - began, sum(last.cpu_s())


def _add_setting(crowd: ClusterCrowd, n: int, line: str) -> None:
    with (crowd.folder / f"op{n}.toml").open("a") as settings:
        settings.write(f"{line}\n")


def _two(nodes: Sequence[RunningNode]) -> list[str]:
    return [node.url for node in nodes[:2]]


def _map_of(data: Path) -> tuple[int, int]:
    """Keys of an operator's map, and the bytes of keys and values."""
    with closing(sqlite3.connect(f"file:{data}/state.db?mode=ro", uri=True)) as db:
        found = db.execute("SELECT count(*), sum(length(key) + length(value)) FROM state")
        keys, size = found.fetchone()
    return int(keys), int(size)
