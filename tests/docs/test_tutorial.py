# SPDX-License-Identifier: Apache-2.0
"""The tutorial is true: every command of it is typed into a real shell, in order.

Lines after a command are what it must print, stdout and stderr as a person sees them; `…` stands
for anything, on a line of its own for any number of lines. A command without lines may print
nothing that matters, and must succeed.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).resolve().parents[2]
TUTORIAL = REPOSITORY / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """A command and the lines that the page shows below it."""

    command: str
    shown: tuple[str, ...]


def read_steps(page: str) -> Iterator[Step]:
    for block in BLOCK.findall(page):
        command: str | None = None
        shown: list[str] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                if command is not None:
                    yield Step(command, tuple(shown))
                command, shown = line.removeprefix("$ "), []
            else:
                assert command is not None, f"output without a command: {line}"
                shown.append(line)
        if command is not None:
            yield Step(command, tuple(shown))


def matches(shown: tuple[str, ...], printed: list[str]) -> bool:
    parts = [
        r"(?:[^\n]*\n)*?" if line == "…" else re.escape(line).replace("…", r"[^\n]*") + r"\n"
        for line in shown
    ]
    return re.fullmatch("".join(parts), "".join(f"{line}\n" for line in printed)) is not None


class Shell:
    """One bash, as a person would use it: jobs, variables and folder live on between commands."""

    def __init__(self, folder: Path) -> None:
        environment = {n: v for n, v in os.environ.items() if not n.startswith("FIELDPOST_")}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._count = 0
        self.type("set -m")

    def type(self, command: str, *, least_lines: int = 0) -> tuple[list[str], int]:
        """What the terminal shows until the command is done, and its exit code.

        `least_lines`: so many lines are awaited also when the command went into the background.
        """
        assert self._bash.stdin is not None
        self._count += 1
        mark = f"::done {self._count}::"
        with Impatience(self._bash.pid):
            self._bash.stdin.write(f"{command}\necho '{mark}' $?\n")
            self._bash.stdin.flush()
            lines: list[str] = []
            code: int | None = None
            while code is None or len(lines) < least_lines:
                line = self._line(command)
                if line.startswith(mark):
                    code = int(line.removeprefix(mark))
                elif not re.match(r"\[\d+\]", line):  # the shell's own words about jobs
                    lines.append(line)
        return lines, code

    def _line(self, command: str) -> str:
        stream: IO[str] | None = self._bash.stdout
        assert stream is not None
        line = stream.readline()
        assert line, f"the shell ended during: {command}"
        return line.rstrip("\n")

    def close(self) -> None:
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write("kill $(jobs -p) 2>/dev/null; wait; exit\n")
        self._bash.stdin.close()
        with Impatience(self._bash.pid):
            self._bash.stdout.read()
        self._bash.wait(timeout=PATIENCE_S)
        self._bash.stdout.close()


class Impatience:
    """Ends a whole session of processes if what is inside takes too long."""

    def __init__(self, session: int) -> None:
        self._timer = threading.Timer(PATIENCE_S, lambda: os.killpg(session, signal.SIGKILL))

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("bash", "curl")),
    reason="the tutorial is typed into bash and uses curl",
)
def test_the_tutorial_is_true(tmp_path: Path) -> None:
    page = TUTORIAL.read_text(encoding="utf-8")
    steps = list(read_steps(page.replace("127.0.0.1:8470", f"127.0.0.1:{free_port()}")))
    assert len(steps) > 25
    shell = Shell(tmp_path)
    try:
        for step in steps:
            waits = len(step.shown) if step.command.endswith("&") else 0
            printed, code = shell.type(step.command, least_lines=waits)
            said = "\n".join(printed)
            assert code == 0, f"$ {step.command}\nended with {code}:\n{said}"
            if step.shown:
                wanted = "\n".join(step.shown)
                assert matches(step.shown, printed), (
                    f"$ {step.command}\n{said}\n--- page:\n{wanted}"
                )
    finally:
        shell.close()


def test_a_page_that_shows_something_else_is_noticed() -> None:
    assert matches(("a …", "…", "z"), ["a 1", "b", "c", "z"])
    assert matches(("a …", "…", "z"), ["a 1", "z"])
    assert not matches(("a …", "…", "z"), ["a 1", "b"])
    assert not matches(("a",), ["a", "b"]), "a page must not leave lines out unsaid"
    assert not matches(("sequence 2",), ["sequence 1"])


def test_commands_and_their_lines_are_told_apart() -> None:
    page = "x\n```console\n$ one\nout\n$ two\n```\n```sh\n$ not me\n```\n"
    assert list(read_steps(page)) == [Step("one", ("out",)), Step("two", ())]
