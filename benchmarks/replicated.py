# SPDX-License-Identifier: Apache-2.0
"""A board of four operators on this machine: speed beside CometBFT's own store, and recovery.

Every signature is verified by every operator. Senders wait for published receipts; CometBFT's
store is given transactions of the same bytes, and is done once they are in blocks. Both run all the
time and take turns: the one that does not work stands still. Both have worked before they are
measured, so that no start of a process is in a figure that does not say so.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from threading import Thread

from benchmarks.clusters import (
    ClusterCrowd,
    RunningNode,
    cluster,
    get,
    has_cometbft,
    paused,
    wait_until,
)
from benchmarks.kvstores import KvStore, kvstores, send_kv
from benchmarks.measure import Result
from benchmarks.processes import tree_cpu_s
from benchmarks.replicated_growth import catch_up, growth
from benchmarks.replicated_links import links
from benchmarks.senders import Load, request, send
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.client.publisher import submit_post
from fieldpost.client.transport import HttpClient
from fieldpost.records.head import decode_head
from fieldpost.records.limits import MAX_CHECKIN_BYTES

# Each posts once in a burst: two posts of one maker in two bundles might come in any order.
_MAKERS = 2_000
_WARMING = 1
_MEASURED = 3
# With these the operators hold 20,000 posts beside the base log.
_FILLING = 6
_AT_ONCE = 100
_ROLLOUTS = 40
_PAUSE_S = 0.3


def results() -> Iterator[Result]:
    """Measure one after the other."""
    if not has_cometbft():
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        crowd = ClusterCrowd(Path(name) / "c", makers=_MAKERS)
        rollouts = crowd.rollouts(_ROLLOUTS)
        bursts = iter([crowd.advisories(1) for _ in range(_WARMING + _MEASURED + _FILLING + 1)])
        with cluster(crowd) as nodes:
            for _ in range(_WARMING):
                load(nodes, next(bursts))
            yield from latency(crowd, nodes, rollouts, "idle")
            with tempfile.TemporaryDirectory(dir=Path.cwd()) as kv:
                yield from _speed(nodes, Path(kv), [next(bursts) for _ in range(_MEASURED)])
            yield from growth(nodes, [next(bursts) for _ in range(_FILLING)], load)
            yield from _recovery(nodes, next(bursts))
            yield from catch_up(nodes)
    yield from links(load, latency)


def _speed(
    nodes: Sequence[RunningNode], folder: Path, bursts: Sequence[Sequence[bytes]]
) -> Iterator[Result]:
    """Bursts of posts, and between them as many transactions of the same bytes to the store."""
    ours: list[float] = []
    theirs: list[float] = []
    used = [0.0, 0.0, 0.0]
    with ExitStack() as stack:
        with paused([node.pid for node in nodes]):
            stores = stack.enter_context(kvstores(folder, len(nodes)))
            send_kv(stores, _transactions(bursts[0], b"warming"))
        for number, posts in enumerate(bursts):
            with paused([store.pid for store in stores]):
                before = _used(nodes)
                ours.append(len(posts) / load(nodes, posts))
                used[:2] = [u + a - b for u, a, b in zip(used, _used(nodes), before, strict=False)]
            with paused([node.pid for node in nodes]):
                before_s = _cpu_s(stores)
                txs = _transactions(posts, b"%d" % number)
                theirs.append(len(txs) / send_kv(stores, txs))
                used[2] += _cpu_s(stores) - before_s
    count = sum(map(len, bursts))
    node, comet, store = (seconds * 1e6 / count for seconds in used)
    yield Result(
        what=f"posts, {_AT_ONCE} to a request, four operators",
        unit="posts/s",
        ours=median(ours),
        bar=0.8 * median(theirs),
        against="kvstore",
        theirs=median(theirs),
    )
    yield Result(
        what="  processor time for each, all operators",
        unit="µs",
        ours=node + comet,
        against="kvstore",
        theirs=store,
    )
    yield Result(what="    of it nodes and their verifiers", unit="µs", ours=node)
    yield Result(what="    of it CometBFT", unit="µs", ours=comet)


def _transactions(posts: Sequence[bytes], round_: bytes) -> list[bytes]:
    keys = [b"%s-%d" % (round_, n) for n in range(len(posts))]
    return [
        key + b"=" + b"v" * (len(post) - len(key) - 1)
        for key, post in zip(keys, posts, strict=True)
    ]


def _used(nodes: Sequence[RunningNode]) -> tuple[float, float]:
    pairs = [node.cpu_s() for node in nodes]
    return sum(node for node, _ in pairs), sum(comet for _, comet in pairs)


def _cpu_s(stores: Sequence[KvStore]) -> float:
    return sum(tree_cpu_s(store.pid) for store in stores)


def load(nodes: Sequence[RunningNode], posts: Sequence[bytes]) -> float:
    """Seconds for posts, a share of them sent to each operator."""
    shares = [posts[n :: len(nodes)] for n in range(len(nodes))]
    loads: list[Load] = []

    def share(node: RunningNode, mine: Sequence[bytes]) -> None:
        bodies = [b"".join(mine[i : i + _AT_ONCE]) for i in range(0, len(mine), _AT_ONCE)]
        requests = [request("POST", "/v1/posts", body, "application/cbor-seq") for body in bodies]
        loads.append(node.here(lambda: send(node.url, requests, connections=len(requests))))

    threads = [Thread(target=share, args=pair) for pair in zip(nodes, shares, strict=True)]
    before = max(node.size() for node in nodes)
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    if len(loads) != len(nodes) or max(node.size() for node in nodes) <= before + len(posts):
        raise RuntimeError("an operator refused posts")
    return seconds


def latency(
    crowd: ClusterCrowd,
    nodes: Sequence[RunningNode],
    rollouts: Sequence[tuple[int, bytes]],
    when: str,
    bar: float | None = 1.5,
) -> Iterator[Result]:
    """From the first byte of `rollout.set` until all check-ins show it."""
    path = f"/v1/checkin/{crowd.class_id.hex()}/stable"
    waits: list[float] = []

    def shows(node: RunningNode, interval_s: int) -> bool:
        try:
            bundle = node.here(lambda: get(node.url, path))
        except LookupError:
            return False
        value = decode_bundle(bundle, most_bytes=MAX_CHECKIN_BYTES).value
        return value is not None and decode_head(value).interval_s == interval_s

    for turn, (interval_s, post) in enumerate(rollouts):
        time.sleep(_PAUSE_S)
        began = time.perf_counter()
        nodes[turn % len(nodes)].here(partial(_submit, nodes[turn % len(nodes)].url, post))
        wait_until(lambda at=interval_s: all(shows(node, at) for node in nodes))  # type: ignore[misc]
        waits.append(time.perf_counter() - began)
    waits.sort()
    what = f"published to visible at all four, {when}"
    yield Result(what=f"{what}, median", unit="s", ours=median(waits))
    p99 = waits[int(0.99 * len(waits))]
    yield Result(what=f"{what}, 99 of 100", unit="s", ours=p99, bar=bar, at_most=True)


def _submit(url: str, post: bytes) -> None:
    with HttpClient(url, total_s=120) as http:
        submit_post(http, post)


def _recovery(nodes: Sequence[RunningNode], posts: Sequence[bytes]) -> Iterator[Result]:
    """Two of four are killed: from the moment they are started until a post is published."""
    waits: list[float] = []
    for turn in range(3):
        for node in nodes[2:]:
            node.kill()
        began = time.perf_counter()
        for node in nodes[2:]:
            node.spawn()
        _submit(nodes[0].url, posts[turn])
        waits.append(time.perf_counter() - began)
        for node in nodes[2:]:
            node.wait_started()
    what = "two of four killed, started, next post published"
    yield Result(what=what, unit="s", ours=median(waits), bar=5, at_most=True)
