# SPDX-License-Identifier: Apache-2.0
"""A program of ours without some of its defences, to show what they hold off.

    python -m fieldpost.testing.undefended --without quorum agent once --home DEVICE --json

`--without` may be repeated; the names are those of `Defence`, in lower case with hyphens. What
follows is a command line of `fieldpost`. An agent that boots a new image carries on undefended.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from fieldpost.cli.main import main as run_cli
from fieldpost.testing.defences import Defence, without

MODULE = "fieldpost.testing.undefended"


def parse(words: Sequence[str]) -> tuple[tuple[Defence, ...], list[str]]:
    """The defences to leave out, and the command line of `fieldpost`."""
    defences, rest = [], list(words)
    while rest[:1] == ["--without"]:
        defences.append(Defence[rest[1].upper().replace("-", "_")])
        rest = rest[2:]
    return tuple(defences), rest


def keep_across_boots(flags: Sequence[str]) -> None:
    """Let every execution of `python -m fieldpost.cli` by this process be undefended as well."""
    execute = os.execv

    def again(path: str, arguments: Sequence[str]) -> NoReturn:
        at = list(arguments).index("fieldpost.cli")
        execute(path, [*arguments[:at], MODULE, *flags, *arguments[at + 1 :]])

    os.execv = again  # type: ignore[assignment]


def main() -> None:
    """Leave the named defences out and run the rest of the command line."""
    words = sys.argv[1:]
    defences, command = parse(words)
    keep_across_boots(words[: len(words) - len(command)])
    sys.argv = ["fieldpost", *command]
    with without(*defences):
        run_cli()


if __name__ == "__main__":
    main()
