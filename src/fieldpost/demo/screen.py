# SPDX-License-Identifier: Apache-2.0
"""What a person sees while the demonstration runs: steps with their times, on stderr.

On a terminal with colours, and a bar or a spinner for what is under way; elsewhere plain lines.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import wrap
from typing import Final, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

_COLUMNS: Final = 80


class Screen:
    """Steps, one after the other; a bar where something is counted."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._began = time.monotonic()

    def heading(self, text: str, why: str = "") -> None:
        """A new chapter, and why it matters."""
        self._say(f"\n[bold]{text}[/bold]")
        for line in wrap(why, _COLUMNS - 2):
            self._say(f"  [dim italic]{line}[/dim italic]")

    def fact(self, text: str) -> None:
        """One line under the current step."""
        self._say(f"    [dim]{text}[/dim]")

    def claim(self, says: str, *, held: bool, seen: str) -> None:
        """What was just shown, and what shows it."""
        mark = "[bold green]✓[/bold green]" if held else "[bold red]✗[/bold red]"
        first, *more = wrap(says, _COLUMNS - 6)
        self._say(f"    {mark} {escape(first)}")
        for line in more:
            self._say(f"      {escape(line)}")
        for line in wrap(seen, _COLUMNS - 6):
            self._say(f"      [dim]{escape(line)}[/dim]")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A step that takes a while; marked when it is done."""
        start = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(text):
                yield
        else:
            yield
        self._done(text, start)

    @contextmanager
    def counted(self, text: str, total: int) -> Iterator["Counter"]:
        """A step that counts to `total`."""
        start = time.monotonic()
        if self.console.is_terminal:
            columns = (TextColumn("    {task.description}"), BarColumn(16), MofNCompleteColumn())
            with Progress(*columns, console=self.console, transient=True) as bar:
                yield _Bar(bar, bar.add_task(text, total=total))
        else:
            yield _Lines(self, text, total)
        self._done(text, start)

    def elapsed_s(self) -> float:
        """Seconds since the demonstration began."""
        return time.monotonic() - self._began

    def _done(self, text: str, start: float) -> None:
        self._say(f"  [green]✓[/green] {text} [dim]{time.monotonic() - start:.1f} s[/dim]")

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)


class Counter(Protocol):
    """How far one counted step is."""

    def show(self, count: int) -> None:
        """Say that `count` are done."""
        ...


class _Bar:
    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def show(self, count: int) -> None:
        self._bar.update(self._task, completed=count)


class _Lines:
    """A line at the start and at each quarter, so that nobody waits in silence."""

    def __init__(self, screen: Screen, text: str, total: int) -> None:
        self._screen = screen
        self._total = total
        self._next = max(1, total // 4)
        screen.fact(f"{text} …")

    def show(self, count: int) -> None:
        if self._next <= count < self._total:
            self._screen.fact(f"{count} of {self._total}")
            self._next = count + max(1, self._total // 4)
