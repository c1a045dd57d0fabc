# SPDX-License-Identifier: Apache-2.0
"""`fieldpost node rebuild`: what a node can make anew from its log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from fieldpost.cli.console import json_option, progress, show
from fieldpost.journal import configure

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="Folder of the board's data.",
)


@contextmanager
def entries_bar(*, as_json: bool) -> Iterator[Callable[[int, int], None] | None]:
    """What follows a rebuild: a bar on a terminal; None elsewhere, where the log has lines."""
    if as_json or not sys.stderr.isatty():
        yield None
        return
    with ExitStack() as stack:
        advance: Callable[[int], None] | None = None
        last = 0

        def watch(done: int, total: int) -> None:
            nonlocal advance, last
            if advance is None:
                advance = stack.enter_context(progress("applying every rule again", total))
            advance(done - last)
            last = done

        yield watch


@click.command()
@data_option
@json_option
def rebuild(*, data: Path, as_json: bool) -> None:
    r"""Make the state database anew from the log, while the node is stopped.

    Every signature is verified and every rule applied again, so this takes a while: the rate is
    shown. The old file is kept as state.db.aside until the next rebuild. A log that is damaged
    stops it; `fieldpost board fsck` names the file then.

    \b
    fieldpost node rebuild --data /var/lib/fieldpost
    """
    from fieldpost.engines.rebuild import rebuild_board

    configure(form="logfmt", level="warning")
    began = time.monotonic()
    with entries_bar(as_json=as_json) as watch:
        entries, keys = rebuild_board(data, watch=watch)
    seconds = time.monotonic() - began
    facts = {
        "entries": entries,
        "keys_in_state": keys,
        "seconds": round(seconds, 1),
        "entries_per_second": round(entries / seconds),
    }
    show(facts, as_json=as_json, title="Rebuilt from the log")


commands = (rebuild,)
