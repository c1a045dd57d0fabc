# SPDX-License-Identifier: Apache-2.0
"""A page of docs that is true: every command of it is typed into a real shell, in order.

Blocks marked `console` are typed. Lines after a command are what it must print, stdout and stderr
as a person sees them; `…` stands for anything, on a line of its own for any number of lines. A
command without lines may print nothing that matters, and must succeed. Addresses on loopback are
replaced by free ones.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from tests.ports import free_port

BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
PATIENCE_S = 120.0

needs_shell = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("bash", "curl")),
    reason="pages are typed into bash and use curl; `make system-deps` installs them",
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command and the lines that the page shows below it."""

    command: str
    shown: tuple[str, ...]


def read_steps(page: str) -> Iterator[Step]:
    """The commands of a page, in order."""
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
    """Whether a page shows what was printed."""
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
        """End the shell and everything that it started."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write("kill $(jobs -p) 2>/dev/null; wait; exit\n")
        self._bash.stdin.close()
        with Impatience(self._bash.pid):
            self._bash.stdout.read()
        self._bash.wait(timeout=PATIENCE_S)
        self._bash.stdout.close()


class Impatience:
    """Ends a whole session of processes if what is inside takes too long.

    Jobs are groups of their own; what they have in common is the session.
    """

    def __init__(self, session: int) -> None:
        self._timer = threading.Timer(PATIENCE_S, end_session, [session])

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def end_session(session: int) -> None:
    """Kill every process of a session."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            behind_the_name = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(behind_the_name[3]) == session:
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, IndexError):
            continue  # it ended meanwhile


def with_free_ports(page: str) -> str:
    """The page with every address on loopback replaced by a free one."""
    taken: dict[str, int] = {}

    def replace(match: re.Match[str]) -> str:
        if match[2] not in taken:
            taken[match[2]] = free_port()
        return f"{match[1]}{taken[match[2]]}"

    return re.sub(r"(127\.0\.0\.1[: ])(8\d{3})\b", replace, page)


def type_page(path: Path, folder: Path, *, least_steps: int) -> None:
    """Type a page into a shell of its own in `folder`; fails where it does not show the truth."""
    steps = list(read_steps(with_free_ports(path.read_text(encoding="utf-8"))))
    assert len(steps) >= least_steps
    shell = Shell(folder)
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
