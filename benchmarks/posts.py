# SPDX-License-Identifier: Apache-2.0
"""Durable posts per second over HTTP: advisories of 1,000 makers, one or a hundred to a request.

Every signature is verified. Every post is durable, published and, alone in its request, proven by
a receipt before its answer comes. The posts were signed beforehand; the sender shares the machine.
One to a request they come over fewer connections than there are makers, and over one for each.
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
            (
                crowd.advisories(_SINGLE // _MAKERS),
                crowd.advisories(_SINGLE // _MAKERS),
                crowd.advisories(_BUNDLED // _MAKERS),
            )
            for _ in range(_ROUNDS)
        ]
        with node(crowd.data) as board:
            # The processes that verify are started by load, once.
            _single(board, first)
            measured = [
                (_single(board, some), _of_each_maker(board, others), _bundled(board, many))
                for some, others, many in rounds
            ]
    some, others, many = zip(*measured, strict=True)
    yield from _one_to_a_request(f"{_CONNECTIONS} connections", some)
    yield from _one_to_a_request("a connection for each maker", others)
    bundled, cpu = max((load.rate * _AT_ONCE, cpu) for load, cpu in many)
    what = f"posts, {_AT_ONCE} to a request"
    yield Result(what=what, unit="posts/s", ours=bundled, bar=6_000)
    yield Result(what="  processor time for each", unit="µs", ours=cpu * 1e6)


def _one_to_a_request(how: str, measured: Sequence[tuple[Load, float]]) -> Iterator[Result]:
    """The round with the highest rate."""
    rate, cpu, wait = max((load.rate, cpu, load.wait(0.99)) for load, cpu in measured)
    what = f"posts, one to a request, {how}"
    yield Result(what=what, unit="posts/s", ours=rate, bar=3_000)
    yield Result(what="  processor time for each", unit="µs", ours=cpu * 1e6)
    yield Result(what="  wait for the answer, 99 of 100", unit="ms", ours=wait * 1e3)


def _single(board: Serving, posts: Sequence[bytes]) -> tuple[Load, float]:
    return _measure(board, _ones(posts), len(posts), _CONNECTIONS)


def _of_each_maker(board: Serving, posts: Sequence[bytes]) -> tuple[Load, float]:
    return _measure(board, _ones(posts), len(posts), _MAKERS, in_turn=True)


def _ones(posts: Sequence[bytes]) -> list[bytes]:
    return [request("POST", "/v1/posts", post, "application/cose") for post in posts]


def _bundled(board: Serving, posts: Sequence[bytes]) -> tuple[Load, float]:
    bodies = [b"".join(posts[i : i + _AT_ONCE]) for i in range(0, len(posts), _AT_ONCE)]
    requests = [request("POST", "/v1/posts", body, "application/cbor-seq") for body in bodies]
    return _measure(board, requests, len(posts), _BUNDLE_CONNECTIONS)


def _measure(
    board: Serving,
    requests: Sequence[bytes],
    posts: int,
    connections: int,
    *,
    in_turn: bool = False,
) -> tuple[Load, float]:
    """How it went, and the node's processor seconds for a post."""
    before = board.cpu_s()
    load = send(board.url, requests, connections=connections, in_turn=in_turn)
    return load, (board.cpu_s() - before) / posts
