# SPDX-License-Identifier: Apache-2.0
"""Real processes of the demonstration: started in one group, watched by their JSON lines, ended.

Each long-running program writes JSON objects, one a line; a thread of its own reads them, so that
no pipe ever fills. Everything is stopped when the demonstration ends, however it ends.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from fieldpost.errors import Unavailable

READY_S: Final = 30.0
_COMMAND_S: Final = 120.0
_STOP_S: Final = 30.0

Event = dict[str, Any]


class Program:
    """One running program of ours and what it said."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        module: str,
        on_event: Callable[[Event], None],
    ) -> None:
        self.name = " ".join(arguments[:2])
        self._log = log
        self._on_event = on_event
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._ended = False
        self._errors = log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        stream = self.process.stdout
        if stream is None:
            raise AssertionError("a program is started with a pipe")
        for line in stream:
            self._errors.write(line)
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                with self._changed:
                    self._events.append(event)
                    self._changed.notify_all()
                self._on_event(event)
        self._errors.close()
        stream.close()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, wanted: Callable[[Event], bool], timeout_s: float = READY_S) -> Event:
        """The first event that is `wanted`. Raises Unavailable with where to look."""
        found: list[Event] = []

        def there() -> bool:
            found[:] = [event for event in self._events if wanted(event)][:1]
            return bool(found) or self._ended

        with self._changed:
            self._changed.wait_for(there, timeout_s)
        if not found:
            raise Unavailable(f"{self.name} did not get that far: {self._last_words()}")
        return found[0]

    def check_running(self) -> None:
        """Raises Unavailable, with its last words, if it ended by itself."""
        if self.process.poll() is not None:
            raise Unavailable(f"{self.name} ended by itself: {self._last_words()}")

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f"{said[-1]} (all of it: {self._log})" if said else f"see {self._log}"

    def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(_STOP_S)


class Processes:
    """All programs of one demonstration, with their logs in one folder."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = os.environ | environment
        self._programs: list[Program] = []
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_all()

    def start(
        self,
        *arguments: str,
        log: str,
        module: str = "fieldpost.cli",
        on_event: Callable[[Event], None] = lambda _: None,
    ) -> Program:
        """Start a long-running program."""
        program = Program(
            arguments,
            log=self._logs / f"{log}.log",
            environment=self._environment,
            module=module,
            on_event=on_event,
        )
        self._programs.append(program)
        return program

    def stop(self, program: Program) -> None:
        """Stop one program."""
        program.stop()
        self._programs.remove(program)

    def release(self, program: Program) -> None:
        """Let a program outlive us."""
        self._programs.remove(program)

    def stop_all(self) -> None:
        """Stop what still runs, the youngest first."""
        for program in self._programs:
            program.process.terminate()
        while self._programs:
            self._programs.pop().stop()

    def call(self, *arguments: str) -> Event:
        """Run a command of the CLI with `--json`; returns what it printed.

        Raises Unavailable, with the command's own words, where it fails.
        """
        done = self.run(*arguments)
        if done.returncode != 0:
            words = done.stderr.strip().splitlines()
            raise Unavailable(f"`fieldpost {' '.join(arguments)}` failed: {' '.join(words[-2:])}")
        printed: Event = json.loads(done.stdout)
        return printed

    def error_of(self, *arguments: str) -> Event:
        """What a command that fails says on stderr, as JSON; {} if it succeeds."""
        done = self.run(*arguments)
        lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
        if done.returncode == 0 or not lines:
            return {}
        told: Event = json.loads(lines[-1])
        return told

    def run(
        self, *arguments: str, module: str = "fieldpost.cli"
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command of the CLI with `--json`, whatever becomes of it."""
        try:
            return subprocess.run(
                [sys.executable, "-m", module, *arguments, "--json"],
                capture_output=True,
                text=True,
                timeout=_COMMAND_S,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"`fieldpost {' '.join(arguments)}` took too long") from error
