# SPDX-License-Identifier: Apache-2.0
"""Errors at the edge of the command line: exit code, words, and who must act next.

With `--json` on the command line an error is one JSON object on stderr, whatever its kind: an
error family, a wrong use of the command line, or a bug. Exit codes above 63 are those of
sysexits(3). docs/reference/cli.md is written from the tables here.
"""

import json
import sys
import traceback
from typing import Final

import click

from fieldpost.cli.console import printable
from fieldpost.errors import (
    Conflict,
    FieldpostError,
    Malformed,
    Misbehaviour,
    Misconfigured,
    NotFound,
    Rejected,
    Unavailable,
    Untrusted,
)

# family: (exit code, who must act)
FAMILIES: Final[dict[type[FieldpostError], tuple[int, str]]] = {
    Malformed: (65, "the input is not what it should be; correct it and run the command again"),
    Rejected: (1, "the board's rules refuse this post; nothing was changed"),
    Misbehaviour: (
        4,
        "two signed statements cannot both be honest; keep the evidence, tell others",
    ),
    Untrusted: (3, "this was not proven; do not use it"),
    NotFound: (2, "there is no such thing here"),
    Conflict: (2, "somebody or something else was first"),
    Unavailable: (75, "nothing was lost; run the same command again later"),
    Misconfigured: (78, "your files or settings need a change; nothing was changed"),
    FieldpostError: (70, "an error without a family; please report it"),
}
USAGE: Final = 64
BUG: Final = 70
STOPPED: Final = 130
# What is in the optional parts of the package: a device installs none of them.
EXTRAS: Final = frozenset({"starlette", "uvicorn", "uvloop", "httptools", "rich"})


def family(error: FieldpostError) -> type[FieldpostError]:
    """The nearest family in the table."""
    for candidate in type(error).__mro__:
        if candidate in FAMILIES:
            return candidate
    raise AssertionError("every error has a family")


def exit_code(error: FieldpostError) -> int:
    """The process's exit code for an error."""
    return FAMILIES[family(error)][0]


def of_system(error: OSError | ModuleNotFoundError) -> FieldpostError | None:
    """The family of an error of the system's that no command expected; None if it is a bug."""
    if isinstance(error, ModuleNotFoundError):
        if (error.name or "").partition(".")[0] not in EXTRAS:
            return None
        return Misconfigured(
            f"this command needs more than a device does ({error.name} is missing): "
            "pip install 'fieldpost[node]'"
        )
    where = f"{error.filename}: " if error.filename is not None else ""
    words = f"{where}{error.strerror or error}"
    files = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError)
    if isinstance(error, (*files, NotADirectoryError)):
        return Misconfigured(f"{words}; name another path, or change its rights")
    return Unavailable(words)


def explain(error: FieldpostError) -> int:
    """Say on stderr what happened and who must act. Returns the exit code."""
    chosen = family(error)
    code, meaning = FAMILIES[chosen]
    fields = {
        name: getattr(error, name)
        for name in ("code", "name", "reason", "retry_after_s")
        if getattr(error, name, None) is not None
    }
    _say(chosen.__name__.lower(), code, str(error), meaning, fields)
    return code


def explain_usage(error: click.ClickException) -> int:
    """Say on stderr how the command is used. Returns the exit code."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "fieldpost"
    _say("usage", USAGE, error.format_message(), f"how it is used: {path} --help", {})
    return USAGE


def explain_bug(error: Exception) -> int:
    """An error that nobody expected: say so, with what a report needs. Returns the exit code."""
    trace = "".join(traceback.format_exception(error))
    detail = f"{type(error).__name__}: {error}"
    if not _wants_json():
        click.echo(trace, err=True)
    _say("bug", BUG, detail, "this is a bug of fieldpost; please report it", {"trace": trace})
    return BUG


def _wants_json() -> bool:
    words = sys.argv[: sys.argv.index("--")] if "--" in sys.argv else sys.argv
    return "--json" in words


def _say(kind: str, code: int, detail: str, meaning: str, fields: dict[str, object]) -> None:
    if _wants_json():
        facts = {"error": kind, "exit": code, "detail": detail, "next": meaning} | fields
        click.echo(json.dumps(facts), err=True)
        return
    click.echo(click.style("error: ", fg="red", bold=True) + printable(detail), err=True)
    click.echo(click.style(f"       {meaning}", dim=True), err=True)
