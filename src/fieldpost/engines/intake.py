# SPDX-License-Identifier: Apache-2.0
"""Where posts wait: bounded, in the order they came, read and verified on the way.

    submit ─► arrivals ─► reading thread (decode, find keys) ─────► ready ─► collect
                                    └─► verifiers ──verdicts, records──┘

So signatures of the next batch are verified while this one is committed. `collect` gives a lone
post at once; where many are on their way it waits for more, as the pace says (engines.pace).
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

from fieldpost.engines.base import Answer, Receipt
from fieldpost.engines.pace import Pace
from fieldpost.engines.quick_yes import find_quick_yes
from fieldpost.engines.verification import Asked, ReadPost, read_post
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import Unavailable
from fieldpost.journal import tell
from fieldpost.ledger.context import Reader
from fieldpost.ledger.preverify import SignatureCheck

MOST_IN_BATCH: Final = 2_048
_READ_AT_ONCE: Final = 256
_RETRY_S: Final = 1

_log = logging.getLogger(__name__)

_UNDECIDED: Final = Unavailable("not decided", _RETRY_S)
_NOT_READ: Final = Unavailable("an internal error; the node's log has it", _RETRY_S)

Done = Callable[[Sequence[Answer]], None]


class _Request:
    """Posts that came together, and who waits for all of their answers."""

    __slots__ = ("answers", "done", "left")

    def __init__(self, count: int, done: Done) -> None:
        self.answers: list[Answer] = [_UNDECIDED] * count
        self.done = done
        self.left = count


_Arrival = tuple[Sequence[bytes], _Request]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A post that was read, and its place in the request that brought it."""

    read: ReadPost
    request: _Request
    place: int


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Posts that were read together; their signatures are being verified."""

    posts: list[Waiting]
    asked: Asked


@dataclass(frozen=True, slots=True)
class Collected:
    """Posts for one batch, in order, and the signatures that were found valid. May be empty."""

    posts: list[Waiting]
    valid: list[SignatureCheck]


class Intake:
    """The queue of one engine. `newest_map` gives what to look for keys in."""

    def __init__(
        self,
        newest_map: Callable[[], Reader],
        *,
        most_waiting: int,
        verifiers: Verifiers | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._newest_map = newest_map
        self._most = most_waiting
        self._lock = threading.Lock()
        self._open: set[_Request] = set()
        self._count = 0
        self._closed: str | None = None
        self._closing = threading.Event()
        self._drained = False
        self._pace = Pace() if pace is None else pace
        # Taken and not collected yet.
        self._ahead = 0
        self._arrivals: SimpleQueue[_Arrival | None] = SimpleQueue()
        self._ready: SimpleQueue[_Chunk | None] = SimpleQueue()
        # Out of `_ready`, and not collected yet.
        self._next: deque[_Chunk | None] = deque()
        self._verifiers = Verifiers(quick_yes=find_quick_yes()) if verifiers is None else verifiers
        self._thread = threading.Thread(target=self._read, name="fieldpost-read", daemon=True)
        self._thread.start()

    @property
    def is_drained(self) -> bool:
        """Whether the intake is closed and everything in it was collected."""
        return self._drained

    @property
    def waiting(self) -> int:
        """Posts that were taken and are not answered yet."""
        return self._count

    def submit(self, entries: Sequence[bytes], done: Done) -> None:
        """Queue posts; `done` is called once, on whatever thread, with an answer for each.

        Where the queue is full or closed all of them are answered at once, with Unavailable.
        What was taken is written, whether or not somebody still waits for the answer.
        """
        request = _Request(len(entries), done)
        with self._lock:
            refusal = self._closed
            if refusal is None and self._count + len(entries) > self._most:
                refusal = f"{self._count} posts are waiting: try again later"
            if refusal is None and entries:
                self._count += len(entries)
                self._ahead += len(entries)
                self._open.add(request)
                self._arrivals.put((entries, request))
                return
        done([Unavailable(str(refusal), _RETRY_S)] * len(entries))

    def collect(self, *, most_s: float) -> Collected:
        """The next batch, in order; empty if nothing came within `most_s` seconds.

        Raises RuntimeError where no post is read any more.
        """
        self._pace.ask()
        self._admit()
        batch = Collected([], [])
        patience = most_s
        while len(batch.posts) < MOST_IN_BATCH and (chunk := self._take(patience)) is not None:
            batch.posts.extend(chunk.posts)
            batch.valid.extend(chunk.asked.valid())
            patience = self._pace.patience_s(len(batch.posts))
        with self._lock:
            self._pace.begin(self._ahead)
            self._ahead -= len(batch.posts)
        return batch

    def answer(self, answers: Iterable[tuple[Waiting, Answer]]) -> None:
        """Give answers to whoever waits."""
        finished: list[_Request] = []
        with self._lock:
            for waiting, answer in answers:
                request = waiting.request
                if request not in self._open:
                    continue
                request.answers[waiting.place] = answer
                request.left -= 1
                if not request.left:
                    self._open.discard(request)
                    self._count -= len(request.answers)
                    finished.append(request)
        for request in finished:
            _give(request, request.answers)

    def close(self) -> None:
        """Take no more posts; `collect` gives what is here. Does not wait."""
        with self._lock:
            if self._closed is None:
                self._closed = "the node is stopping"
                self._stop_reading()

    def abandon(self, why: str) -> None:
        """Fail everything that waits: the engine is gone."""
        with self._lock:
            self._closed = why
            left, self._open, self._count = list(self._open), set(), 0
        self._stop_reading()
        for request in left:
            _give(request, [Unavailable(why, _RETRY_S)] * len(request.answers))

    def join(self) -> None:
        """Wait for the reading thread after `close` or `abandon`."""
        self._thread.join()
        self._verifiers.close()

    def _stop_reading(self) -> None:
        # In this order: a reading thread that ends while nobody asked it to is a fault.
        self._closing.set()
        self._arrivals.put(None)

    def _admit(self) -> None:
        """Have those who were answered read, who post again, as long as the pace allows."""
        while not self._closing.is_set():
            read = sum([len(chunk.posts) for chunk in self._next if chunk is not None])
            wait_s = self._pace.admit_s(read)
            if wait_s <= 0:
                return
            with suppress(Empty):
                self._next.append(self._ready.get(timeout=wait_s))

    def _take(self, most_s: float) -> _Chunk | None:
        """The next chunk, once it is verified; None if that takes longer. Order is kept."""
        end = time.monotonic() + most_s
        if not self._next:
            try:
                self._next.append(self._ready.get(block=most_s > 0, timeout=most_s))
            except Empty:
                return None
        chunk = self._next[0]
        if chunk is None:
            if not self._closing.is_set():
                raise RuntimeError("the thread that reads posts ended")
            self._drained = True
            return None
        try:
            chunk.asked.wait(max(end - time.monotonic(), 0))
        except TimeoutError:
            return None
        self._next.popleft()
        return chunk

    def _read(self) -> None:
        try:
            while (first := self._arrivals.get()) is not None:
                gather_s = self._pace.gather_s(self._count)
                if gather_s:
                    # One turn of this thread for all that come meanwhile, and not one for each.
                    self._closing.wait(gather_s)
                taken, last = self._take_more(first)
                try:
                    self._ready.put(self._chunk(taken))
                except Exception as bug:  # noqa: BLE001 - it costs the posts that met it, not the node
                    tell(_log, "posts-not-read", trace=bug)
                    self._refuse([request for _, request in taken])
                if last:
                    break
        finally:
            # Whatever ended this thread, `collect` says so to the engine.
            self._ready.put(None)

    def _take_more(self, first: _Arrival) -> tuple[list[_Arrival], bool]:
        """What came since, as much as is read at once; and whether no more will come."""
        taken, count = [first], len(first[0])
        most = min(self._pace.most_to_read(self._count), _READ_AT_ONCE)
        while count < most:
            try:
                item = self._arrivals.get_nowait()
            except Empty:
                break
            if item is None:
                return taken, True
            taken.append(item)
            count += len(item[0])
        return taken, False

    def _refuse(self, requests: Iterable[_Request]) -> None:
        """Answer requests of which nothing was read."""
        with self._lock:
            left = [request for request in requests if request in self._open]
            self._open.difference_update(left)
            count = sum([len(request.answers) for request in left])
            self._count -= count
            self._ahead -= count
        for request in left:
            _give(request, [_NOT_READ] * len(request.answers))

    def _chunk(self, taken: Iterable[_Arrival]) -> _Chunk:
        map_ = self._newest_map()
        posts = [
            Waiting(read_post(entry, map_), request, place)
            for entries, request in taken
            for place, entry in enumerate(entries)
        ]
        return _Chunk(posts, Asked((waiting.read for waiting in posts), self._verifiers))


def _give(request: _Request, answers: Sequence[Answer]) -> None:
    try:
        request.done(answers)
    except Exception as bug:  # noqa: BLE001 - a caller's bug is no reason to stop writing
        tell(_log, "answer-not-taken", trace=bug)


def resolving(future: Future[Receipt]) -> Done:
    """A `done` for one post that resolves a future."""

    def done(answers: Sequence[Answer]) -> None:
        (answer,) = answers
        if isinstance(answer, Receipt):
            future.set_result(answer)
        else:
            future.set_exception(answer)

    return done
