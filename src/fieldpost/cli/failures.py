# SPDX-License-Identifier: Apache-2.0
"""Error families at the edge of the command line: exit code, words, and the next step.

With `--json` on the command line the error is one JSON object on stderr.
"""

import json
import sys
from typing import Final

import click

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
    Malformed: (65, "the input is not what it should be"),
    Rejected: (1, "the board's rules refuse this post; nothing was changed"),
    Misbehaviour: (4, "two signed statements cannot both be honest; keep the evidence"),
    Untrusted: (3, "this was not proven; do not use it"),
    NotFound: (2, "there is no such thing here"),
    Conflict: (2, "somebody else was first"),
    Unavailable: (75, "try again later; nothing was lost"),
    Misconfigured: (78, "your files or settings need a change; nothing was changed"),
    FieldpostError: (70, "an error"),
}


def family(error: FieldpostError) -> type[FieldpostError]:
    """The nearest family in the table."""
    for candidate in type(error).__mro__:
        if candidate in FAMILIES:
            return candidate
    raise AssertionError("every error has a family")


def exit_code(error: FieldpostError) -> int:
    """The process's exit code for an error."""
    return FAMILIES[family(error)][0]


def explain(error: FieldpostError) -> None:
    """Say on stderr what happened and who must act."""
    chosen = family(error)
    code, meaning = FAMILIES[chosen]
    if "--json" in sys.argv:
        fields = {"error": chosen.__name__.lower(), "exit": code, "detail": str(error)}
        for name in ("code", "name", "reason"):
            if hasattr(error, name):
                fields[name] = getattr(error, name)
        click.echo(json.dumps(fields), err=True)
        return
    click.echo(click.style("error: ", fg="red", bold=True) + str(error), err=True)
    click.echo(click.style(f"       {meaning}", dim=True), err=True)
