# SPDX-License-Identifier: Apache-2.0
"""What commands print: lines for people, or one JSON document with `--json`.

Colours and progress bars appear only on a terminal; click strips the former elsewhere.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """The `--json` option of every command."""
    option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
    return option(command)


def printable(text: str) -> str:
    """Text of somebody else's on one line of a terminal: control characters are spelled out."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def show(facts: Mapping[str, object], *, as_json: bool, title: str = "") -> None:
    """Print facts: a JSON object, or a title and aligned lines."""
    if as_json:
        show_json(facts)
        return
    if title:
        click.echo(click.style(printable(title), bold=True))
    width = max((len(name) for name in facts), default=0)
    for name, fact in facts.items():
        if fact is None:
            continue
        label = click.style(f"  {name.replace('_', ' '):<{width}}  ", dim=True)
        items = fact if isinstance(fact, list | tuple) else (fact,)
        lines = [_cell(item) for item in items]
        indent = " " * (width + 4)
        click.echo(label + f"\n{indent}".join(lines or ["-"]))


def show_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2))


def table(rows: Sequence[Mapping[str, object]], *, as_json: bool, empty: str) -> None:
    """Print rows: a JSON array, or columns under a header."""
    if as_json:
        show_json(list(rows))
        return
    if not rows:
        click.echo(empty)
        return
    names = list(rows[0])
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(name), *(len(row[i]) for row in cells)) for i, name in enumerate(names)]
    header = "  ".join(f"{n:<{w}}" for n, w in zip(names, widths, strict=True))
    click.echo(click.style(header.rstrip(), dim=True))
    for row in cells:
        click.echo("  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip())


def _cell(fact: object) -> str:
    words = {None: "-", True: "yes", False: "no"}
    return words[fact] if fact is None or isinstance(fact, bool) else printable(str(fact))


def note(line: str, *, as_json: bool = False) -> None:
    """A line for people about what is going on; on stderr, silent with `--json`."""
    if not as_json:
        click.echo(printable(line), err=True)


@contextmanager
def progress(label: str, total: int, *, as_json: bool = False) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr for `total` units; yields a function to be called with advances."""
    if as_json or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=total, label=label, file=sys.stderr) as bar:
        yield bar.update


def moment(seconds: int) -> str:
    """A Unix time as people write it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def size(count: int) -> str:
    """A number of bytes as people say it."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("unreachable")
