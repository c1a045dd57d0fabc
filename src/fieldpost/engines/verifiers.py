# SPDX-License-Identifier: Apache-2.0
"""Where an engine has posts verified: here while there are few, in other processes beyond.

The first large request starts the processes (`engines.verifier`), one for each processor but one;
until they are ready, and for a minute after one fails, the caller's thread does the work. One that
does not answer in time, because it hangs or was stopped, is killed and its work done here, so that
no post waits for it longer than that. An idle board has none of them. What comes back says which
signatures are valid, and what payloads decode to; missing answers cost nothing but time: the ledger
verifies and decodes what it is not told about.
"""

import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Final, TypeVar

from fieldpost.engines.quick_yes import Accepts
from fieldpost.engines.verifier import (
    HEAD,
    READY,
    Check,
    Question,
    Verdict,
    decode_answer,
    encode_request,
    is_valid,
)
from fieldpost.journal import tell

FEW: Final = 16
MOST_PROCESSES: Final = 4
# A hundred posts take a tenth of a second; a busy machine may need far longer.
ANSWER_S: Final = 5.0
# For a question; its payload is smaller by far (engines.verification).
_MOST_ANSWER_BYTES: Final = 65_536
_START_S: Final = 30.0
AGAIN_S: Final = 60.0
_END_S: Final = 5.0
COMMAND: Final = (sys.executable, "-m", "fieldpost.engines.verifier")

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Verifiers:
    """Verifies for one asking thread. `processes` 0 does everything on that thread.

    Each runs `command` and has `answer_s` seconds for a request; in the place of one that failed
    another is started, when a minute is over by `uptime`. What is done on the thread asks
    `quick_yes` first (engines.quick_yes).
    """

    def __init__(
        self,
        processes: int | None = None,
        *,
        command: Sequence[str] = COMMAND,
        answer_s: float = ANSWER_S,
        quick_yes: Accepts | None = None,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        spare = (os.cpu_count() or 1) - 1
        self._count = min(spare, MOST_PROCESSES) if processes is None else processes
        self._command = command
        self._answer_s = answer_s
        self._quick_yes = quick_yes
        self._uptime = uptime
        self._processes: list[_Process] = []

    def verify(self, checks: Sequence[Check]) -> Future[Sequence[bool]]:
        """Whether each is valid, in order."""
        done: Future[Sequence[bool]] = Future()
        asked = self.verify_posts([Question(*check) for check in checks])
        asked.add_done_callback(
            lambda _: _settle(done, lambda: [valid for valid, _ in asked.result()])
        )
        return done

    def verify_posts(self, questions: Sequence[Question]) -> Future[Sequence[Verdict]]:
        """A verdict on each, in order. Records come from other processes alone."""
        if len(questions) >= FEW and self._count:
            self._start()
            ready = [process for process in self._processes if process.is_ready]
            if ready:
                return _ask(ready, questions)
        done: Future[Sequence[Verdict]] = Future()
        done.set_result(_alone(questions, self._quick_yes))
        return done

    def _start(self) -> None:
        """Have a process in each place, one that failed a moment ago apart.

        What made it fail may be over: a machine without memory, or a process that hung by chance.
        """
        if not self._processes:
            self._processes = [self._new_process() for _ in range(self._count)]
        for place, process in enumerate(self._processes):
            failed = process.failed_at
            if failed is not None and self._uptime() - failed >= AGAIN_S:
                process.retire()
                self._processes[place] = self._new_process()

    def _new_process(self) -> "_Process":
        return _Process(self._command, self._answer_s, self._uptime)

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.close()
        self._processes = []


def _ask(ready: Sequence["_Process"], questions: Sequence[Question]) -> Future[Sequence[Verdict]]:
    """Spread over processes; each takes its requests in order."""
    if len(ready) == 1:
        return ready[0].ask(questions)
    share = -(-len(questions) // len(ready))
    parts = [
        process.ask(questions[start : start + share])
        for process, start in zip(ready, range(0, len(questions), share), strict=False)
    ]
    done: Future[Sequence[Verdict]] = Future()
    left = len(parts)
    lock = threading.Lock()

    def finished(_: Future[Sequence[Verdict]]) -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        _settle(done, lambda: [verdict for part in parts for verdict in part.result()])

    for part in parts:
        part.add_done_callback(finished)
    return done


def _settle(future: Future[Sequence[T]], result: Callable[[], Sequence[T]]) -> None:
    """Settle a future, also where the result cannot be had: somebody waits for it."""
    try:
        future.set_result(result())
    except Exception as bug:  # noqa: BLE001 - it goes on to whoever waits
        future.set_exception(bug)


def _alone(questions: Sequence[Question], quick_yes: Accepts | None = None) -> Sequence[Verdict]:
    """Verified on this thread. To decode ahead would save nothing: a rule does it when it asks."""
    return [(is_valid(question[:3], quick_yes), None) for question in questions]


class _Process:
    """One verifying process, with the thread that talks to it."""

    def __init__(
        self, command: Sequence[str], answer_s: float, uptime: Callable[[], float]
    ) -> None:
        self.is_ready = False
        self.failed_at: float | None = None
        self._uptime = uptime
        self._command = command
        self._answer_s = answer_s
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = 0
        self._thread = ThreadPoolExecutor(1, "fieldpost-verify")
        try:
            self._thread.submit(self._start)
        except RuntimeError as error:  # the system gives no more threads
            self._give_up(error)

    def ask(self, questions: Sequence[Question]) -> Future[Sequence[Verdict]]:
        """A verdict on each; by this thread's own work where the process is gone."""
        return self._thread.submit(self._ask, questions)

    def close(self) -> None:
        """Let it finish, and wait for its end."""
        self._thread.shutdown()
        self._end(_END_S)

    def retire(self) -> None:
        """It is gone: whatever waits for this thread is still done, and nothing more asked."""
        self._thread.shutdown(wait=False)

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
            assert self._process.stdin is not None
            os.set_blocking(self._process.stdin.fileno(), False)
            self.is_ready = self._read(1, _deadline(_START_S)) == READY
        except (OSError, EOFError) as error:
            self._give_up(error)

    def _ask(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        try:
            if self.is_ready:
                return self._answer(questions)
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine needs an answer
            self._give_up(error)
        return _alone(questions)

    def _answer(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        until = _deadline(self._answer_s)
        count, number = len(questions), self._asked
        # So that no answer passes for that of another request.
        self._asked = (number + 1) % 2**32
        self._write(encode_request(number, questions), until)
        head = self._read(HEAD.size, until)
        _, size, _ = HEAD.unpack(head)
        if size > (count + 1) * _MOST_ANSWER_BYTES:
            raise ValueError("its answer is too long")
        return decode_answer(number, count, head, self._read(size, until))

    def _give_up(self, error: Exception) -> None:
        tell(_log, "verifies-alone", error=error)
        self.is_ready = False
        self._end(0)
        self.failed_at = self._uptime()

    def _write(self, data: bytes, until: float) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        rest = memoryview(data)
        while rest:
            _wait_for(self._process.stdin, select.POLLOUT, until)
            rest = rest[self._process.stdin.write(rest) or 0 :]

    def _read(self, size: int, until: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        data = b""
        while len(data) < size:
            _wait_for(self._process.stdout, select.POLLIN, until)
            piece = self._process.stdout.read(size - len(data))
            if not piece:
                raise EOFError("it answers no more")
            data += piece
        return data

    def _end(self, patience_s: float) -> None:
        """It ends with its input; after `patience_s` it is killed, even where it is stopped."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            if patience_s:
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=patience_s)
            process.kill()
            process.communicate()


def _deadline(seconds: float) -> float:
    return time.monotonic() + seconds


def _wait_for(pipe: IO[bytes], event: int, until: float) -> None:
    """Wait until `pipe` can be read or written. Raises TimeoutError."""
    poll = select.poll()
    poll.register(pipe, event)
    if not poll.poll(max(0.0, until - time.monotonic()) * 1_000):
        raise TimeoutError("it did not answer in time")
