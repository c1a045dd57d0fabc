# SPDX-License-Identifier: Apache-2.0
"""What an operator of a board of four holds per post, and how fast it gets it back from its peers.

Figures for a million posts are the growth of the measured posts, multiplied. CometBFT's votes and
messages (cs.wal) are kept up to a gigabyte and no more, and are left out. Of memory it is an upper
bound: what a node keeps of its last 64 sizes and posts still fills up meanwhile.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.clusters import RunningNode, wait_until
from benchmarks.measure import Result

Load = Callable[[Sequence[RunningNode], Sequence[bytes]], float]

_MILLION = 1_000_000
_CATCH_UP_S = 900.0


def growth(
    nodes: Sequence[RunningNode], bursts: Sequence[Sequence[bytes]], load: Load
) -> Iterator[Result]:
    """Disk and memory of one operator: how both grow with the posts of `bursts`."""
    operator = nodes[0]
    disk, memory = _disk(operator.data), operator.rss_mb()
    for posts in bursts:
        load(nodes, posts)
    count = sum(map(len, bursts))
    grown = {name: after - disk[name] for name, after in _disk(operator.data).items()}
    scale = _MILLION / count
    for name, size in grown.items():
        yield Result(
            what=f"disk for a million posts: {name} (extrapolated)",
            unit="MB",
            ours=size * scale / 1e6,
        )
    now = operator.rss_mb()
    for name, before, after in zip(("node", "CometBFT"), memory, now, strict=True):
        yield Result(what=f"memory of an operator: {name}", unit="MB", ours=after)
        yield Result(
            what="  more for a million posts at most (extrapolated)",
            unit="MB",
            ours=(after - before) * scale,
        )


def catch_up(nodes: Sequence[RunningNode]) -> Iterator[Result]:
    """An operator loses all but its keys and the base, and comes back by its peers' blocks."""
    lost = nodes[3]
    lost.kill()
    lost.wipe()
    count = nodes[0].size() - lost.base_size
    began = time.perf_counter()
    lost.spawn()
    lost.wait_started()
    wait_until(lambda: lost.size() - lost.base_size >= count, _CATCH_UP_S)
    yield Result(
        what=f"an operator that lost all catches up with {count:,} entries",
        unit="entries/s",
        ours=count / (time.perf_counter() - began),
    )


def _disk(data: Path) -> dict[str, float]:
    """Bytes on disk, by what they are."""
    comet = data / "cometbft" / "data"
    return {
        "log as static files": _bytes(data / "log"),
        "state.db": sum(_bytes(path) for path in data.glob("state.db*")),
        "CometBFT's blocks": _bytes(comet / "blockstore.db"),
        "CometBFT's state": _bytes(comet / "state.db"),
    }


def _bytes(path: Path) -> float:
    files = path.rglob("*") if path.is_dir() else [path]
    return float(sum(file.stat().st_size for file in files if file.is_file()))
