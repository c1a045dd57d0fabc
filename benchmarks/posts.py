# SPDX-License-Identifier: Apache-2.0
"""Durable posts per second over HTTP: advisories of 1,000 makers, one or a hundred to a request.

Every signature is verified. Every post is durable, published and, alone in its request, proven by
a receipt before its answer comes. The posts were signed beforehand; the sender shares the machine.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.makers import MakerCrowd
from benchmarks.measure import Result
from benchmarks.processes import Serving, node
from benchmarks.senders import Load, request, send

_MAKERS = 1_000
_ROUNDS = 3
_SINGLE = 8_000
_BUNDLED = 16_000
_AT_ONCE = 100
# In flight are fewer posts than there are makers, so that no maker's two posts can overtake.
_CONNECTIONS = 256
_BUNDLE_CONNECTIONS = 9


def results() -> Iterator[Result]:
    """Measure one after the other, in rounds that take turns."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        crowd = MakerCrowd(Path(name) / "data", makers=_MAKERS)
        first = crowd.advisories(1)
        rounds = [
            (crowd.advisories(_SINGLE // _MAKERS), crowd.advisories(_BUNDLED // _MAKERS))
            for _ in range(_ROUNDS)
        ]
        with node(crowd.data) as board:
            # The processes that verify are started by load, once.
            _single(board, first)
            measured = [(_single(board, one), _bundled(board, many)) for one, many in rounds]
        single, single_cpu, wait = max(
            (load.rate, cpu, load.wait(0.99)) for (load, cpu), _ in measured
        )
        bundled, cpu = max((load.rate * _AT_ONCE, cpu) for _, (load, cpu) in measured)
    what = f"posts, one to a request, {_CONNECTIONS} connections"
    yield Result(what=what, unit="posts/s", ours=single, bar=3_000)
    yield Result(what="  processor time for each", unit="µs", ours=single_cpu * 1e6)
    yield Result(what="  wait for the answer, 99 of 100", unit="ms", ours=wait * 1e3)
    what = f"posts, {_AT_ONCE} to a request"
    yield Result(what=what, unit="posts/s", ours=bundled, bar=6_000)
    yield Result(what="  processor time for each", unit="µs", ours=cpu * 1e6)


def _single(board: Serving, posts: Sequence[bytes]) -> tuple[Load, float]:
    requests = [request("POST", "/v1/posts", post, "application/cose") for post in posts]
    return _measure(board, requests, len(posts), _CONNECTIONS)


def _bundled(board: Serving, posts: Sequence[bytes]) -> tuple[Load, float]:
    bodies = [b"".join(posts[i : i + _AT_ONCE]) for i in range(0, len(posts), _AT_ONCE)]
    requests = [request("POST", "/v1/posts", body, "application/cbor-seq") for body in bodies]
    return _measure(board, requests, len(posts), _BUNDLE_CONNECTIONS)


def _measure(
    board: Serving, requests: Sequence[bytes], posts: int, connections: int
) -> tuple[Load, float]:
    """How it went, and the node's processor seconds for a post."""
    before = board.cpu_s()
    load = send(board.url, requests, connections=connections)
    return load, (board.cpu_s() - before) / posts
