# SPDX-License-Identifier: Apache-2.0
"""Real processes of the campaign: started, heard line by line, and ended."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.e2e.maker_cli import CLI, environment

PATIENCE_S: Final = 240.0


class Program:
    """One process. `lines` are the JSON objects that it printed so far, `journal` its stderr."""

    def __init__(self, words: Sequence[str | Path], journal: Path) -> None:
        self.journal = journal
        self._heard = threading.Condition()
        self.lines: list[dict[str, Any]] = []
        with journal.open("a") as said:
            self.process = subprocess.Popen(
                [*map(str, words)],
                env=environment(PYTHONUNBUFFERED="1"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not (line.startswith("{") and line.endswith("}\n")):
                continue  # an answer for people, over several lines
            with self._heard:
                self.lines.append(json.loads(line))
                self._heard.notify_all()
        with self._heard:
            self._heard.notify_all()

    def event(self, name: str) -> dict[str, Any]:
        """The first line of an event, waited for."""

        def said() -> dict[str, Any] | None:
            return next((line for line in self.lines if line.get("event") == name), None)

        with self._heard:
            came = self._heard.wait_for(lambda: said() or not self._reader.is_alive(), PATIENCE_S)
            found = said()
        assert came, f"no {name} in time"
        assert found is not None, f"it ended without {name}: {self.journal.read_text()[-3000:]}"
        return found

    def wait(self) -> int:
        """Until it ends by itself; its exit code."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.wait()


@contextmanager
def program(words: Sequence[str | Path], journal: Path) -> Iterator[Program]:
    """A process until the block ends."""
    started = Program(words, journal)
    try:
        yield started
    finally:
        started.stop()
        assert started.process.stdout is not None
        started.process.stdout.close()


def fieldpost(*words: str | Path) -> list[str | Path]:
    """A command line of ours that prints JSON."""
    return [*CLI, *words, "--json"]


def liar(*words: str | Path) -> list[str | Path]:
    """A command line of a liar."""
    return [sys.executable, "-m", "fieldpost.testing.liar", *words]


def until(holds: Callable[[], object], what: str) -> None:
    """Ask again and again until it is so."""
    end = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < end, f"never: {what}"
        pause.wait(0.05)
