# SPDX-License-Identifier: Apache-2.0
"""The board of four operators over slow links: posts/s and latency, every packet delayed.

Operators are hosts of their own (network namespaces); each packet between two of them is held back
for the delay, in both directions, by a thread of this process (`tests.crash`), which takes some of
the processors. Senders and watchers sit beside an operator, as its customers may.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.clusters import NODES, ClusterCrowd, RunningNode, cluster
from benchmarks.measure import Result
from tests.crash.namespaces import Network, address

_DELAYS_MS = (0, 50, 150)
_MAKERS = 400
_ROLLOUTS = 6

Load = Callable[[Sequence[RunningNode], Sequence[bytes]], float]
Latency = Callable[
    [ClusterCrowd, Sequence[RunningNode], Sequence[tuple[int, bytes]], str, None], Iterator[Result]
]


def links(load: Load, latency: Latency) -> Iterator[Result]:
    """Measure with each delay, on one cluster."""
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        print("SKIPPED: delayed links need root and /dev/net/tun", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name, Network(NODES) as network:
        crowd = ClusterCrowd(
            Path(name) / "c",
            makers=_MAKERS,
            addresses=[address(number) for number in range(NODES)],
        )
        rollouts = iter(crowd.rollouts(_ROLLOUTS * len(_DELAYS_MS)))
        bursts = [crowd.advisories(1) for _ in range(2 * len(_DELAYS_MS))]
        with cluster(crowd, network) as nodes:
            for turn, delay_ms in enumerate(_DELAYS_MS):
                network.delay_s = delay_ms / 1_000
                load(nodes, bursts[2 * turn])
                posts = bursts[2 * turn + 1]
                speed = len(posts) / load(nodes, posts)
                what = f"links of {delay_ms} ms: a burst of {len(posts)} posts"
                yield Result(what=what, unit="posts/s", ours=speed)
                some = [next(rollouts) for _ in range(_ROLLOUTS)]
                yield from latency(crowd, nodes, some, f"{delay_ms} ms", None)
            network.delay_s = 0.0
