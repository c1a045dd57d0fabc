# SPDX-License-Identifier: Apache-2.0
"""`fieldpost node`: run a board's node until SIGTERM."""

import gc
import json
import logging
import time
from contextlib import ExitStack

import click

from fieldpost.cli.console import json_option
from fieldpost.cli.node_recovery import entries_bar
from fieldpost.cli.node_settings import Sources, settings_options
from fieldpost.journal import configure, tell

_log = logging.getLogger(__name__)


@click.group(name="node")
def command() -> None:
    """Run a board's node: ledger, log, check-ins, blobs and fleet in one process."""


@command.command()
@settings_options
@json_option
def run(
    *,
    sources: Sources,
    as_json: bool,
) -> None:
    r"""Run a node until SIGTERM or Ctrl-C; what it has acknowledged is on the disk by then.

    The first start makes keys and a new board in the data folder. A board with one operator is
    labelled solo: its operator alone vouches that everybody sees the same history.

    \b
    fieldpost node run --data /var/lib/fieldpost --origin board.example/1 --listen :8470
    fieldpost node run --config /etc/fieldpost/node.toml
    """
    run_node(sources, as_json=as_json)


def run_node(sources: Sources, *, as_json: bool) -> None:
    """Run a node with these settings until it is told to stop."""
    from fieldpost.metrics.server import MetricsServer
    from fieldpost.node.app import open_node
    from fieldpost.node.config import parse_listen
    from fieldpost.node.server import Server, check_free
    from fieldpost.node.tls import certificate_of
    from fieldpost.node.vitals import announce_certificate
    from fieldpost.statemap import writing

    config = sources.load().config
    configure(form=config.log.format, level=config.log.level)
    certificate = certificate_of(config.tls)
    # Before the first start makes a board: its keys and name would stay where nothing was served.
    private = () if config.metrics_listen is None else (parse_listen(config.metrics_listen),)
    check_free((*config.addresses(), *private))
    with ExitStack() as stack:
        with entries_bar(as_json=as_json) as watch:
            node = stack.enter_context(
                open_node(config, clock=lambda: int(time.time()), watch=watch)
            )

        if certificate is not None:
            announce_certificate(node.metrics, lambda: certificate.expires)
        scrape: str | None = None
        for address in private:
            shown = MetricsServer(address, node.metrics, node.check_ready, node.details)
            scrape = stack.enter_context(shown).url

        def say_ready() -> None:
            board, labels, urls = node.board, node.labels, server.urls
            tell(
                _log,
                "node-ready",
                urls=urls,
                board=board,
                labels=labels,
                metrics=scrape,
                state_map=writing.WRITTEN_IN,
            )
            if as_json:
                ready = {"event": "ready", "url": server.url, "urls": urls, "board": board}
                click.echo(json.dumps(ready | {"labels": labels, "metrics": scrape}))
            else:
                words = f" ({labels})" if labels else ""
                click.echo(f"ready {' '.join(urls)} board {board}{words}")

        # What is here now stays: millions of nodes of the state map need no search for cycles.
        gc.freeze()
        # Nor do the posts of a busy node, which die by reference counts: a search among thousands
        # of new tuples for each 700 of them took a fifth of the processor time for a post.
        gc.set_threshold(50_000, 20, 100)
        server = Server(
            node.app,
            listen=config.addresses(),
            limits=config.limits,
            certificate=certificate,
            on_ready=say_ready,
        )
        server.run()
        tell(_log, "node-stopping")
    tell(_log, "node-stopped")
    if not as_json:
        click.echo("stopped; everything that was acknowledged is on the disk", err=True)
