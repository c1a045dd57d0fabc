# SPDX-License-Identifier: Apache-2.0
"""A board of four operators on this machine: speed beside CometBFT's own store, and recovery.

Every signature is verified by every operator. Senders wait for published receipts; CometBFT's
store is given transactions of the same bytes, and is done once they are in blocks.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Thread

from benchmarks.clusters import (
    ClusterCrowd,
    RunningNode,
    cluster,
    get,
    has_cometbft,
    kvstores,
    send_kv,
    wait_until,
)
from benchmarks.measure import Result
from benchmarks.senders import Load, request, send
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.client.publisher import submit_post
from fieldpost.client.transport import HttpClient
from fieldpost.records.head import decode_head
from fieldpost.records.limits import MAX_CHECKIN_BYTES

# Each posts once in a round: two posts of one maker in two bundles might come in any order.
_MAKERS = 2_000
_ROUNDS = 2
_AT_ONCE = 100
_ROLLOUTS = 40
_PAUSE_S = 0.3


def results() -> Iterator[Result]:
    """Measure one after the other, in rounds that take turns."""
    if not has_cometbft():
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        crowd = ClusterCrowd(Path(name) / "c", makers=_MAKERS)
        rollouts = crowd.rollouts(_ROLLOUTS)
        rounds = [crowd.advisories(1) for _ in range(_ROUNDS + 3)]
        ours: list[float] = []
        theirs: list[float] = []
        with cluster(crowd) as nodes:
            yield from _latency(crowd, nodes, rollouts)
            _load(nodes, rounds[0])
            idle = max(node.rss_mb() for node in nodes)
        cpu = 0.0
        for posts in rounds[1 : 1 + _ROUNDS]:
            with cluster(crowd) as nodes:
                before = sum(node.cpu_s() for node in nodes)
                ours.append(len(posts) / _load(nodes, posts))
                cpu = (sum(node.cpu_s() for node in nodes) - before) / len(posts)
            with tempfile.TemporaryDirectory(dir=Path.cwd()) as kv, kvstores(Path(kv), 4) as stores:
                txs = [b"%064x=" % n + b"v" * (len(post) - 65) for n, post in enumerate(posts)]
                theirs.append(len(txs) / send_kv(stores, txs))
        best, store = max(ours), max(theirs)
        what = f"posts, {_AT_ONCE} to a request, four operators"
        yield Result(
            what=what, unit="posts/s", ours=best, bar=0.8 * store, against="kvstore", theirs=store
        )
        yield Result(what="  processor time for each, all operators", unit="µs", ours=cpu * 1e6)
        yield Result(what="  memory of an operator, both processes", unit="MB", ours=idle)
        with cluster(crowd) as nodes:
            yield from _recovery(nodes, rounds[-2])
            yield from _catch_up(nodes, rounds[-1])


def _load(nodes: Sequence[RunningNode], posts: Sequence[bytes]) -> float:
    """Seconds for posts, a share of them sent to each operator."""
    shares = [posts[n :: len(nodes)] for n in range(len(nodes))]
    loads: list[Load] = []

    def share(node: RunningNode, mine: Sequence[bytes]) -> None:
        bodies = [b"".join(mine[i : i + _AT_ONCE]) for i in range(0, len(mine), _AT_ONCE)]
        requests = [request("POST", "/v1/posts", body, "application/cbor-seq") for body in bodies]
        loads.append(send(node.url, requests, connections=len(requests)))

    threads = [Thread(target=share, args=pair) for pair in zip(nodes, shares, strict=True)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(loads) != len(nodes):
        raise RuntimeError("an operator refused posts")
    return time.perf_counter() - began


def _latency(
    crowd: ClusterCrowd, nodes: Sequence[RunningNode], rollouts: Sequence[tuple[int, bytes]]
) -> Iterator[Result]:
    """From the first byte of `rollout.set` until all four check-ins show it."""
    path = f"/v1/checkin/{crowd.class_id.hex()}/stable"
    waits: list[float] = []

    def shows(node: RunningNode, interval_s: int) -> bool:
        try:
            bundle = get(node.url, path)
        except LookupError:
            return False
        value = decode_bundle(bundle, most_bytes=MAX_CHECKIN_BYTES).value
        return value is not None and decode_head(value).interval_s == interval_s

    for turn, (interval_s, post) in enumerate(rollouts):
        time.sleep(_PAUSE_S)
        began = time.perf_counter()
        with HttpClient(nodes[turn % len(nodes)].url) as http:
            submit_post(http, post)
        wait_until(lambda at=interval_s: all(shows(node, at) for node in nodes))  # type: ignore[misc]
        waits.append(time.perf_counter() - began)
    waits.sort()
    what = "published to visible at all four operators, idle"
    yield Result(what=f"{what}, median", unit="s", ours=waits[len(waits) // 2])
    p99 = waits[int(0.99 * len(waits))]
    yield Result(what=f"{what}, 99 of 100", unit="s", ours=p99, bar=1.5, at_most=True)


def _recovery(nodes: Sequence[RunningNode], posts: Sequence[bytes]) -> Iterator[Result]:
    """Two of four are killed: from the moment they are started until a post is published."""
    waits: list[float] = []
    for turn in range(3):
        nodes[2].kill()
        nodes[3].kill()
        began = time.perf_counter()
        nodes[2].start()
        nodes[3].start()
        with HttpClient(nodes[0].url, total_s=120) as http:
            submit_post(http, posts[turn])
        waits.append(time.perf_counter() - began)
    waits.sort()
    what = "two of four killed, started, next post published"
    yield Result(what=what, unit="s", ours=waits[len(waits) // 2], bar=5, at_most=True)


def _catch_up(nodes: Sequence[RunningNode], posts: Sequence[bytes]) -> Iterator[Result]:
    """An operator loses all but its keys, and comes back by its peers' blocks."""
    nodes[3].kill()
    _load(nodes[:3], posts)
    size = nodes[0].size()
    began = time.perf_counter()
    nodes[3].start()
    wait_until(lambda: nodes[3].size() >= size, 600)
    seconds = time.perf_counter() - began
    yield Result(
        what="an operator that was away catches up",
        unit="posts/s",
        ours=len(posts) / seconds,
    )
