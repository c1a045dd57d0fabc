# SPDX-License-Identifier: Apache-2.0
"""`fieldpost node rebuild`: what a node can make anew from its log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from fieldpost.cli.console import json_option, note, progress, show
from fieldpost.journal import configure

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="Folder of the board's data.",
)


@contextmanager
def entries_bar(*, as_json: bool) -> Iterator[Callable[[int, int], None]]:
    """What follows a rebuild: a bar on a terminal; elsewhere log lines, and the service manager."""
    if as_json or not sys.stderr.isatty():
        from fieldpost.engines.recovery import Words
        from fieldpost.node.service_manager import Progress

        yield Progress(Words())
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

    An operator's of a board that several run is set aside, and made anew by the next start, which
    applies CometBFT's blocks again.

    \b
    fieldpost node rebuild --data /var/lib/fieldpost
    """
    from fieldpost.engines.rebuild import follows_blocks, leave_to_blocks, rebuild_board

    configure(form="logfmt", level="warning")
    if follows_blocks(data):
        kept = leave_to_blocks(data)
        show({"kept_as": str(kept)}, as_json=as_json, title="state.db is set aside")
        note("next: fieldpost operator run; it applies CometBFT's blocks again", as_json=as_json)
        note(
            "if it says folders-differ, its blocks begin with a snapshot: fieldpost operator wipe",
            as_json=as_json,
        )
        return
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
