# SPDX-License-Identifier: Apache-2.0
"""The embedded engine, every signature verified: posts per second, and the wait for one post.

The posts (`lot.enrol`, Ed25519, about 350 bytes) are signed beforehand, by one maker, who stays
below a day's quota; the load comes from this process.
"""

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from benchmarks.measure import Result
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.ledger.batch import apply_batch
from fieldpost.testing.boards import BoardOnDisk

_IN_FLIGHT = 2_000
_IDLE_POSTS = 50
_POSTS = 6_000


def results() -> Iterator[Result]:
    """Measure one after the other."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        board = BoardOnDisk(Path(folder) / "data", time=int(time.time()) - 100_000)
        writer = board.open()
        board.write(writer, board.maker.registration())
        board.write(writer, board.maker.class_set(most_devices=10**6))
        writer.close()
        roots = (sha256(str(n).encode()).digest() for n in range(_POSTS + _IDLE_POSTS))
        posts = [board.maker.lot_enrol(count=1, root=root) for root in roots]
        began = time.perf_counter()
        apply_batch(board.state, posts[:1_000], time=board.time)
        rules = 1_000 / (time.perf_counter() - began)
        engine = EmbeddedEngine(board.data)
        try:
            yield Result(
                what="engine, one post at a time (1/median wait)",
                unit="posts/s",
                ours=measure_idle(engine, posts[:_IDLE_POSTS]),
            )
            yield Result(
                what="engine, 2,000 posts in flight, durable",
                unit="posts/s",
                ours=measure_load(engine, posts[_IDLE_POSTS:]),
                against="rules and signatures alone, one thread",
                theirs=rules,
            )
        finally:
            engine.close()


def measure_idle(engine: EmbeddedEngine, posts: Sequence[bytes]) -> float:
    """One over the median wait in seconds, with a pause between two posts."""
    waits = []
    for post in posts:
        time.sleep(0.06)
        began = time.perf_counter()
        engine.submit(post).result()
        waits.append(time.perf_counter() - began)
    waits.sort()
    return 1 / waits[len(waits) // 2]


def measure_load(engine: EmbeddedEngine, posts: Sequence[bytes]) -> float:
    """As many as the engine takes."""
    room = threading.Semaphore(_IN_FLIGHT)
    began = time.perf_counter()
    futures = []
    for post in posts:
        room.acquire()
        future = engine.submit(post)
        future.add_done_callback(lambda _: room.release())
        futures.append(future)
    for future in futures:
        future.result()
    return len(posts) / (time.perf_counter() - began)
