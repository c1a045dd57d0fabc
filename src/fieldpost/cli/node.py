# SPDX-License-Identifier: Apache-2.0
"""`fieldpost node`: run a board's node until SIGTERM."""

import json
import logging
import time
from pathlib import Path

import click

from fieldpost.cli.console import json_option


@click.group(name="node")
def command() -> None:
    """Run a board's node: ledger, log, check-ins, blobs and fleet in one process."""


@command.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the board's data. An empty or new one becomes a new board.",
)
@click.option(
    "--origin",
    help="Name of a new board, for ever: host and shard number, for example board.example/1. "
    "Without it a first start makes a trial board.",
)
@click.option(
    "--listen",
    default="127.0.0.1:8470",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to serve; port 0 takes any free one, and the ready line says which.",
)
@json_option
def run(*, data: Path, origin: str | None, listen: str, as_json: bool) -> None:
    r"""Run a node until SIGTERM or Ctrl-C; what it has acknowledged is on the disk by then.

    The first start makes keys and a new board in the data folder. A board with one operator is
    labelled solo: its operator alone vouches that everybody sees the same history.

    \b
    fieldpost node run --data /var/lib/fieldpost --origin board.example/1 --listen :8470
    """
    from fieldpost.node.app import open_node
    from fieldpost.node.config import NodeConfig, parse_listen
    from fieldpost.node.server import Server

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    host, port = parse_listen(listen)
    config = NodeConfig(data=data, origin=origin, host=host, port=port)
    with open_node(config, clock=lambda: int(time.time())) as node:

        def say_ready() -> None:
            if as_json:
                ready = {"event": "ready", "url": server.url, "board": node.board}
                click.echo(json.dumps(ready | {"labels": node.labels}))
            else:
                labels = f" ({node.labels})" if node.labels else ""
                click.echo(f"ready {server.url} board {node.board}{labels}")

        server = Server(node.app, host=host, port=port, limits=config.limits, on_ready=say_ready)
        server.run()
    if not as_json:
        click.echo("stopped; everything that was acknowledged is on the disk", err=True)
