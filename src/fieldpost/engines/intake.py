# SPDX-License-Identifier: Apache-2.0
"""Where posts wait: bounded, in the order they came, checked on the way by another thread.

    submit ─► arrivals ─► checking thread (decode, verify) ─► ready ─► collect

So signatures of the next batch are verified while the disk works on this one. `collect` gives a
lone post at once; after a recent batch it waits for more, but no longer than the pace allows.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

from fieldpost.engines.base import Receipt
from fieldpost.engines.verification import CheckedPost, check_posts
from fieldpost.errors import FieldpostError, Unavailable
from fieldpost.statemap import StateMap

MOST_IN_BATCH: Final = 2_048
PACE_S: Final = 0.05
_CHECKED_AT_ONCE: Final = 256
_QUIET_S: Final = 0.003
_RETRY_S: Final = 1

Answer = Receipt | FieldpostError


@dataclass(frozen=True, slots=True)
class Waiting:
    """A checked post, and who waits for its receipt."""

    checked: CheckedPost
    future: Future[Receipt]


class Intake:
    """The queue of one engine. `newest_map` gives a map in which to look for keys."""

    def __init__(self, newest_map: Callable[[], StateMap], *, most_waiting: int) -> None:
        self._newest_map = newest_map
        self._most = most_waiting
        self._lock = threading.Lock()
        self._open: set[Future[Receipt]] = set()
        self._closed: str | None = None
        self._began = 0.0
        self._drained = False
        self._arrivals: SimpleQueue[tuple[bytes, Future[Receipt]] | None] = SimpleQueue()
        self._ready: SimpleQueue[list[Waiting] | None] = SimpleQueue()
        self._pool = ThreadPoolExecutor(1, "fieldpost-verify")
        self._thread = threading.Thread(target=self._check, name="fieldpost-check", daemon=True)
        self._thread.start()

    @property
    def is_drained(self) -> bool:
        """Whether the intake is closed and everything in it was collected."""
        return self._drained

    def submit(self, entry: bytes) -> Future[Receipt]:
        """Queue one post. The future fails with Unavailable where the queue is full or closed."""
        future: Future[Receipt] = Future()
        # What was taken is written, whether or not somebody still waits for the answer.
        future.set_running_or_notify_cancel()
        with self._lock:
            if self._closed is not None:
                future.set_exception(Unavailable(self._closed, _RETRY_S))
            elif len(self._open) >= self._most:
                full = Unavailable(f"{self._most} posts are waiting: try again later", _RETRY_S)
                future.set_exception(full)
            else:
                self._open.add(future)
                self._arrivals.put((entry, future))
        return future

    def collect(self, *, most_s: float) -> list[Waiting]:
        """The next batch, in order; empty if nothing came within `most_s` seconds."""
        batch = self._next(most_s)
        while batch and len(batch) < MOST_IN_BATCH:
            pace = self._began + PACE_S - time.monotonic()
            more = self._next(min(max(pace, 0), _QUIET_S))
            if not more:
                break
            batch += more
        self._began = time.monotonic()
        return batch

    def answer(self, waiting: Waiting, answer: Answer) -> None:
        """Resolve one future."""
        self._resolve(waiting.future, answer)

    def close(self) -> None:
        """Take no more posts; `collect` gives what is here. Does not wait."""
        with self._lock:
            if self._closed is None:
                self._closed = "the node is stopping"
                self._arrivals.put(None)

    def abandon(self, why: str) -> None:
        """Fail everything that waits: the engine is gone."""
        with self._lock:
            self._closed = why
            left = list(self._open)
        self._arrivals.put(None)
        for future in left:
            self._resolve(future, Unavailable(why, _RETRY_S))

    def join(self) -> None:
        """Wait for the checking thread after `close` or `abandon`."""
        self._thread.join()
        self._pool.shutdown()

    def _resolve(self, future: Future[Receipt], answer: Answer) -> None:
        with self._lock:
            if future not in self._open:
                return
            self._open.discard(future)
        if isinstance(answer, Receipt):
            future.set_result(answer)
        else:
            future.set_exception(answer)

    def _next(self, most_s: float) -> list[Waiting]:
        try:
            found = self._ready.get(timeout=most_s) if most_s > 0 else self._ready.get_nowait()
        except Empty:
            return []
        if found is None:
            self._drained = True
            return []
        return found

    def _check(self) -> None:
        last = False
        while not last:
            taken = [self._arrivals.get()]
            while taken[-1] is not None and len(taken) < _CHECKED_AT_ONCE:
                try:
                    taken.append(self._arrivals.get_nowait())
                except Empty:
                    break
            last = taken[-1] is None
            items = [item for item in taken if item is not None]
            checked = check_posts([entry for entry, _ in items], self._newest_map(), self._pool)
            if items:
                futures = [future for _, future in items]
                self._ready.put([Waiting(*pair) for pair in zip(checked, futures, strict=True)])
        self._ready.put(None)
