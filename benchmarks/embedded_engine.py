# SPDX-License-Identifier: Apache-2.0
"""Posts per second and idle latency of the embedded engine, every signature verified.

    python benchmarks/embedded_engine.py [POSTS]

The posts (`lot.enrol`, Ed25519, about 350 bytes) are signed beforehand; the load comes from the
same process, with 2,000 posts in flight. What the rules alone cost is printed beside it.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.ledger.batch import apply_batch
from fieldpost.testing.boards import BoardOnDisk

_IN_FLIGHT = 2_000
_IDLE_POSTS = 100


def main(count: int) -> None:
    """Measure with `count` posts and print."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        board = BoardOnDisk(Path(folder) / "data", time=int(time.time()) - 100_000)
        writer = board.open()
        board.write(writer, board.maker.registration())
        board.write(writer, board.maker.class_set(most_devices=10**6))
        writer.close()
        roots = (sha256(str(n).encode()).digest() for n in range(count + _IDLE_POSTS))
        posts = [board.maker.lot_enrol(count=1, root=root) for root in roots]
        began = time.perf_counter()
        apply_batch(board.state, posts[:1_000], time=board.time)
        print(f"rules and signatures alone: {1_000 / (time.perf_counter() - began):,.0f} posts/s")
        engine = EmbeddedEngine(board.data)
        measure_idle(engine, posts[:_IDLE_POSTS])
        measure_load(engine, posts[_IDLE_POSTS:])
        engine.close()


def measure_idle(engine: EmbeddedEngine, posts: Sequence[bytes]) -> None:
    """One post at a time, with a pause between two."""
    waits = []
    for post in posts:
        time.sleep(0.06)
        began = time.perf_counter()
        engine.submit(post).result()
        waits.append((time.perf_counter() - began) * 1_000)
    waits.sort()
    median, p99 = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    print(f"idle, submit to published: median {median:.1f} ms, p99 {p99:.1f} ms")


def measure_load(engine: EmbeddedEngine, posts: Sequence[bytes]) -> None:
    """As many as the engine takes."""
    room = threading.Semaphore(_IN_FLIGHT)
    before = engine.published().size
    began = time.perf_counter()
    futures = []
    for post in posts:
        room.acquire()
        future = engine.submit(post)
        future.add_done_callback(lambda _: room.release())
        futures.append(future)
    for future in futures:
        future.result()
    taken = time.perf_counter() - began
    batches = engine.published().size - before - len(posts)
    print(f"load: {len(posts) / taken:,.0f} posts/s in {batches} batches")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8_000)
