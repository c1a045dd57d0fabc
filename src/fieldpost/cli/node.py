# SPDX-License-Identifier: Apache-2.0
"""`fieldpost node`: run a board's node until SIGTERM."""

import gc
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import click

from fieldpost.cli.console import json_option
from fieldpost.cli.node_recovery import entries_bar

F = TypeVar("F", bound=Callable[..., Any])


@click.group(name="node")
def command() -> None:
    """Run a board's node: ledger, log, check-ins, blobs and fleet in one process."""


def settings_options(command: F) -> F:
    """`--config`, and options for the settings that a first try needs."""
    command = click.option(
        "--mirror",
        "mirrors",
        multiple=True,
        metavar="FOLDER|URL",
        help="A copy of this board, asked at the start what this node signed last; what is missing "
        "here is fetched from it. May be given several times.",
    )(command)
    command = click.option(
        "--listen",
        multiple=True,
        metavar="HOST:PORT",
        help="Where to serve; may be given several times. Port 0 takes any free one, and the ready "
        "line says which.  [default: 127.0.0.1:8470]",
    )(command)
    command = click.option(
        "--origin",
        help="Name of a new board, for ever: host and shard number, for example board.example/1. "
        "Without it a first start makes a trial board.",
    )(command)
    command = click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the board's data. An empty or new one becomes a new board.",
    )(command)
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="FIELDPOST_NODE_CONFIG",
        help="TOML file of settings (docs/reference/config.md). FIELDPOST_NODE_… variables come "
        "before it, options before both.",
    )(command)


def given(**options: object) -> dict[str, object]:
    """The options that were given, by the names of their settings."""
    return {name: value for name, value in options.items() if value not in (None, ())}


@command.command()
@settings_options
@json_option
def run(
    *,
    config_file: Path | None,
    data: Path | None,
    origin: str | None,
    listen: tuple[str, ...],
    mirrors: tuple[str, ...],
    as_json: bool,
) -> None:
    r"""Run a node until SIGTERM or Ctrl-C; what it has acknowledged is on the disk by then.

    The first start makes keys and a new board in the data folder. A board with one operator is
    labelled solo: its operator alone vouches that everybody sees the same history.

    \b
    fieldpost node run --data /var/lib/fieldpost --origin board.example/1 --listen :8470
    fieldpost node run --config /etc/fieldpost/node.toml
    """
    from fieldpost.node.app import open_node
    from fieldpost.node.config_sources import load_config
    from fieldpost.node.server import Server

    config = load_config(
        file=config_file,
        environment=os.environ,
        options=given(data=data, origin=origin, listen=listen, mirrors=mirrors),
    ).config
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with ExitStack() as stack:
        with entries_bar(as_json=as_json) as watch:
            node = stack.enter_context(
                open_node(config, clock=lambda: int(time.time()), watch=watch)
            )

        def say_ready() -> None:
            if as_json:
                ready = {"event": "ready", "url": server.url, "urls": server.urls}
                click.echo(json.dumps(ready | {"board": node.board, "labels": node.labels}))
            else:
                labels = f" ({node.labels})" if node.labels else ""
                click.echo(f"ready {' '.join(server.urls)} board {node.board}{labels}")

        # What is here now stays: millions of nodes of the state map need no search for cycles.
        gc.freeze()
        server = Server(
            node.app, listen=config.addresses(), limits=config.limits, on_ready=say_ready
        )
        server.run()
    if not as_json:
        click.echo("stopped; everything that was acknowledged is on the disk", err=True)
