# SPDX-License-Identifier: Apache-2.0
"""What a person sees while the demonstration runs: steps with their times, on stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn


class Screen:
    """Steps, one after the other; a bar where something is counted."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._began = time.monotonic()

    def heading(self, text: str) -> None:
        """A new chapter."""
        self.console.print(f"\n[bold]{text}[/bold]")

    def fact(self, text: str) -> None:
        """One line under the current step."""
        self.console.print(f"      {text}", style="dim")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A step that takes a while; marked when it is done."""
        start = time.monotonic()
        if sys.stderr.isatty():
            with self.console.status(text):
                yield
        else:
            yield
        self.console.print(f"  [green]✓[/green] {text} [dim]{time.monotonic() - start:.1f} s[/dim]")

    @contextmanager
    def counted(self, text: str, total: int) -> Iterator["Counter"]:
        """A step that counts to `total`."""
        start = time.monotonic()
        columns = (TextColumn("    {task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(
            *columns, console=self.console, transient=True, disable=not sys.stderr.isatty()
        ) as bar:
            yield Counter(bar, bar.add_task(text, total=total))
        self.console.print(f"  [green]✓[/green] {text} [dim]{time.monotonic() - start:.1f} s[/dim]")

    def elapsed_s(self) -> float:
        """Seconds since the demonstration began."""
        return time.monotonic() - self._began


class Counter:
    """The bar of one counted step."""

    def __init__(self, bar: Progress, task: object) -> None:
        self._bar = bar
        self._task = task

    def show(self, count: int) -> None:
        """Move the bar to `count`."""
        self._bar.update(self._task, completed=count)  # type: ignore[arg-type]
