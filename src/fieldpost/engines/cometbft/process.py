# SPDX-License-Identifier: Apache-2.0
"""One CometBFT process: started, followed, started again with back-off, and stopped.

    process = CometProcess(program, home, on_death=tell_somebody)
    process.start()
    process.wait_ready(rpc)
    …
    process.stop()

Its output goes into `home`/cometbft.log, which stays small. A death that would only be repeated
(`Death.final`) halts it: then it is not started again, and `check_running` says why.
"""

import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from fieldpost.engines.cometbft import leash
from fieldpost.engines.cometbft.deaths import (
    Death,
    doubled,
    explain_death,
    is_failure,
    tail_of,
)
from fieldpost.engines.cometbft.genesis import validator_address
from fieldpost.engines.cometbft.home import read_validator_key
from fieldpost.engines.cometbft.output import LimitedLog
from fieldpost.errors import Unavailable
from fieldpost.journal import tell

FIRST_DELAY_S: Final = 0.5
MOST_DELAY_S: Final = 30.0
# Who ran this long begins with the first delay again.
_STEADY_S: Final = 60.0
GRACE_S: Final = 10.0
_CHUNK: Final = 65_536
_POLL_S: Final = 0.1

_log = logging.getLogger(__name__)


def _ignore(_death: Death) -> None:
    """Nobody wants to know."""


class CometProcess:
    """CometBFT over `home`, which must be whole (`fieldpost.engines.cometbft.home`).

    `on_death` is called on the following thread, before any restart; `grace_s` is how long an
    orderly end may take before the process is killed.
    """

    def __init__(
        self,
        program: Path,
        home: Path,
        *,
        on_death: Callable[[Death], None] = _ignore,
        first_delay_s: float = FIRST_DELAY_S,
        grace_s: float = GRACE_S,
    ) -> None:
        command = [str(program), "start", "--home", str(home)]
        self._command = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command]
        self._home = home
        self._on_death = on_death
        self._first_delay_s = first_delay_s
        self._grace_s = grace_s
        self._output = LimitedLog(home / "cometbft.log")
        self._stopping = threading.Event()
        # Held while a process is started, so that `stop` never overlooks one.
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._last: Death | None = None
        self._own = validator_address(read_validator_key(home)).hex().upper()
        self._doubled: set[str] = set()
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """The process id, while there is a process."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def halted(self) -> Death | None:
        """Why it will not be started again, if so."""
        return self._last if self._last is not None and self._last.final else None

    def check_running(self) -> None:
        """Raises Unavailable, with what to do, while there is no process."""
        if self.pid is None:
            why = self._last if self._last is not None else "CometBFT is not running"
            raise Unavailable(str(why), None if self.halted else 1)

    def start(self) -> None:
        """Start it, and keep it running until `stop`. Returns at once; once is enough."""
        if self._thread is None:
            # The kernel takes the end of this thread for the end of the parent: it lives as long
            # as the process may.
            self._thread = threading.Thread(
                target=self._run, name="fieldpost-cometbft", daemon=True
            )
            self._thread.start()

    def wait_ready(self, answers: Callable[[], object], *, timeout_s: float) -> None:
        """Wait until `answers` (as `CometRpc.status`) raises Unavailable no more.

        Raises Unavailable once it halted, was stopped, or `timeout_s` is over.
        """
        until = time.monotonic() + timeout_s
        while True:
            try:
                answers()
            except Unavailable as error:
                if self.halted is not None:
                    raise Unavailable(str(self.halted)) from error
                if time.monotonic() > until or self._stopping.wait(_POLL_S):
                    last = f"; it ended before: {self._last}" if self._last else ""
                    raise Unavailable(f"CometBFT does not answer: {error}{last}") from error
            else:
                return

    def stop(self) -> None:
        """End it in order, killing it if that takes too long; start it no more. Once is enough."""
        self._stopping.set()
        with self._starting:
            process = self._process
        if process is not None:
            with suppress(ProcessLookupError):
                process.terminate()
        thread = self._thread
        if thread is None:
            return
        thread.join(self._grace_s)
        if thread.is_alive() and process is not None:
            process.kill()
        thread.join()

    def _run(self) -> None:
        delay = self._first_delay_s
        while not self._stopping.is_set():
            began = time.monotonic()
            death = self._live()
            if self._stopping.is_set():
                break
            self._mourn(death)
            if death.final:
                break
            if time.monotonic() - began > _STEADY_S:
                delay = self._first_delay_s
            self._stopping.wait(delay)
            delay = min(2 * delay, MOST_DELAY_S)
        self._output.close()

    def _live(self) -> Death:
        """One process, from its start to its end."""
        try:
            process = self._spawn()
            if process is None:
                return explain_death(b"", 0)
            said = self._follow(process)
            return explain_death(said, process.wait())
        except OSError as error:
            return Death("not-started", f"CometBFT cannot be started: {error}", final=False)

    def _mourn(self, death: Death) -> None:
        self._last = death
        if death.final:
            tell(_log, "cometbft-halted", reason=death.reason, error=death)
        else:
            tell(_log, "cometbft-ended", reason=death.reason, error=death)
        try:
            self._on_death(death)
        except Exception as bug:  # noqa: BLE001 - whoever is told must not keep it from starting
            tell(_log, "subscriber-failed", trace=bug)

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        with self._starting:
            if self._stopping.is_set():
                return None
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._home,
                bufsize=0,
                # Ctrl-C in a terminal is for us; we end it in our order.
                process_group=0,
            )
            return self._process

    def _follow(self, process: subprocess.Popen[bytes]) -> bytes:
        """Keep what it says until it ends, and end it if it does no work. The last of it."""
        assert process.stdout is not None
        said = b""
        kill_at: float | None = None
        with process.stdout as pipe:
            while True:
                if not _is_readable(pipe, kill_at):
                    process.kill()
                    kill_at = None
                    continue
                chunk = os.read(pipe.fileno(), _CHUNK)
                if not chunk:
                    return said
                self._output.write(chunk)
                said = tail_of(said + chunk)
                self._tell_doubled(said)
                if kill_at is None and is_failure(said):
                    process.terminate()
                    kill_at = time.monotonic() + self._grace_s

    def _tell_doubled(self, said: bytes) -> None:
        for validator in doubled(said) - self._doubled:
            self._doubled.add(validator)
            own = validator == self._own
            tell(_log, "validator-key-doubled", validator=validator, own=own)


def _is_readable(pipe: IO[bytes], until: float | None) -> bool:
    """Wait for output or its end; False once `until` is over."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    wait_ms = None if until is None else max(0.0, until - time.monotonic()) * 1_000
    return bool(poll.poll(wait_ms))
