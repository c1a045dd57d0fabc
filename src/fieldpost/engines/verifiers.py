# SPDX-License-Identifier: Apache-2.0
"""Where an engine has signatures verified: here while there are few, in other processes beyond.

The first large request starts the processes (`engines.verifier`), one for each processor but one;
until they are ready, and whenever one fails, the caller's thread does the work. An idle board has
none of them. What comes back says only which signatures are valid, and missing answers cost
nothing but time: the ledger verifies what it is not told about.
"""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from fieldpost.engines.verifier import READY, Check, encode_request, is_valid
from fieldpost.journal import tell

FEW: Final = 16
MOST_PROCESSES: Final = 4

_log = logging.getLogger(__name__)


class Verifiers:
    """Verifies for one asking thread. `processes` 0 does everything on that thread."""

    def __init__(self, processes: int | None = None) -> None:
        spare = (os.cpu_count() or 1) - 1
        self._count = min(spare, MOST_PROCESSES) if processes is None else processes
        self._processes: list[_Process] = []

    def verify(self, checks: Sequence[Check]) -> Future[Sequence[bool]]:
        """Whether each is valid, in order."""
        done: Future[Sequence[bool]] = Future()
        if len(checks) >= FEW and self._count:
            if not self._processes:
                self._processes = [_Process() for _ in range(self._count)]
            ready = [process for process in self._processes if process.is_ready]
            if ready:
                return _verify_in(ready, checks)
        done.set_result([is_valid(check) for check in checks])
        return done

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.close()
        self._processes = []


def _verify_in(ready: Sequence["_Process"], checks: Sequence[Check]) -> Future[Sequence[bool]]:
    """Spread over processes; each takes its requests in order."""
    if len(ready) == 1:
        return ready[0].verify(checks)
    share = -(-len(checks) // len(ready))
    parts = [
        process.verify(checks[start : start + share])
        for process, start in zip(ready, range(0, len(checks), share), strict=False)
    ]
    done: Future[Sequence[bool]] = Future()
    left = len(parts)
    lock = threading.Lock()

    def finished(_: Future[Sequence[bool]]) -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        done.set_result([valid for part in parts for valid in part.result()])

    for part in parts:
        part.add_done_callback(finished)
    return done


class _Process:
    """One verifying process, with the thread that talks to it."""

    def __init__(self) -> None:
        self.is_ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = ThreadPoolExecutor(1, "fieldpost-verify")
        self._thread.submit(self._start)

    def verify(self, checks: Sequence[Check]) -> Future[Sequence[bool]]:
        """Whether each is valid; by this thread's own work where the process is gone."""
        return self._thread.submit(self._verify, checks)

    def close(self) -> None:
        """Let it finish, and wait for its end."""
        self._thread.shutdown()
        self._end()

    def _start(self) -> None:
        command = [sys.executable, "-m", "fieldpost.engines.verifier"]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
            self.is_ready = self._read(1) == READY
        except OSError as error:
            tell(_log, "verifies-alone", error=error)

    def _verify(self, checks: Sequence[Check]) -> Sequence[bool]:
        try:
            if self.is_ready:
                self._write(encode_request(checks))
                return [verdict == 1 for verdict in self._read(len(checks))]
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine needs an answer
            tell(_log, "verifies-alone", error=error)
            self.is_ready = False
            self._end()
        return [is_valid(check) for check in checks]

    def _write(self, data: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        rest = memoryview(data)
        while rest:
            rest = rest[self._process.stdin.write(rest) :]

    def _read(self, size: int) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        data = b""
        while len(data) < size:
            piece = self._process.stdout.read(size - len(data))
            if not piece:
                raise EOFError("it answers no more")
            data += piece
        return data

    def _end(self) -> None:
        if self._process is not None:
            with suppress(OSError):
                self._process.communicate()
            self._process = None
