# SPDX-License-Identifier: Apache-2.0
"""`fieldpost mirror`: keep a full verified copy of a board, and serve it."""

import gc
import json
import logging
import time
from contextlib import ExitStack
from pathlib import Path

import click

from fieldpost.cli.console import json_option, note
from fieldpost.cli.node_recovery import entries_bar
from fieldpost.cli.options import log_options
from fieldpost.journal import configure, tell

_log = logging.getLogger(__name__)


@click.group(name="mirror")
def command() -> None:
    """Keep a full verified copy of somebody's board, and serve it to everybody."""


@command.command()
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the copy. An interrupted one goes on from there.",
)
@click.option(
    "--board",
    help="Id of the board, from somebody whom you trust. Without it a new copy takes the board "
    "that the first source shows, and says which that is.",
)
@click.option(
    "--blobs", is_flag=True, help="Manifests and artifacts too, so that devices can install."
)
@click.option(
    "--listen",
    multiple=True,
    metavar="HOST:PORT",
    default=("127.0.0.1:8471",),
    show_default=True,
    help="Where to serve; may be given several times. Port 0 takes any free one.",
)
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.1, 3_600.0),
    default=5.0,
    show_default=True,
    help="Seconds between two looks at a source, about; one that fails is asked ever less often.",
)
@click.option(
    "--metrics-listen",
    metavar="HOST:PORT",
    help="Where to serve /metrics, for yourself alone.  [default: nowhere]",
)
@log_options
@json_option
def run(
    *,
    urls: tuple[str, ...],
    data: Path,
    board: str | None,
    blobs: bool,
    listen: tuple[str, ...],
    every_s: float,
    metrics_listen: str | None,
    log_format: str,
    log_level: str,
    as_json: bool,
) -> None:
    r"""Follow the board at URL (nodes, mirrors or plain web servers) and serve the copy.

    Every tile is checked against the root that the operators' quorum signed, every root against
    all that was ever seen, every rule is applied again. A source that shows something else is
    refused, and others are asked. Two published histories end the mirror with exit code 4, the
    evidence kept in DATA/evidence.

    Readers get what a node gives them, from this copy alone: log, check-ins, proofs, links,
    manifests and blobs. Devices need not know the difference. Posts are refused, with where to
    post. `/readyz` says how far behind it is.

    \b
    fieldpost mirror run https://board.example --data /var/lib/fieldpost-mirror --blobs
    fieldpost mirror run https://a.example https://b.example --data ./copy --listen :8471
    """
    from fieldpost.metrics.server import MetricsServer
    from fieldpost.node.config import parse_listen
    from fieldpost.node.server import Server
    from fieldpost.watch.mirror_node import MirrorSettings, open_mirror

    configure(form=log_format, level=log_level)
    settings = MirrorSettings(data=data, sources=urls, board=board, blobs=blobs, every_s=every_s)
    with ExitStack() as stack:
        with entries_bar(as_json=as_json) as watch:
            mirror = stack.enter_context(
                open_mirror(settings, clock=lambda: int(time.time()), watch=watch)
            )
        scrape: str | None = None
        if metrics_listen is not None:
            address = parse_listen(metrics_listen)
            private = MetricsServer(address, mirror.metrics, mirror.check_ready)
            scrape = stack.enter_context(private).url

        def say_ready() -> None:
            tell(
                _log,
                "mirror-ready",
                urls=server.urls,
                board=mirror.board,
                labels=mirror.labels,
                sources=list(urls),
                metrics=scrape,
            )
            if as_json:
                ready = {"event": "ready", "url": server.url, "urls": server.urls}
                facts = {"board": mirror.board, "labels": mirror.labels, "metrics": scrape}
                click.echo(json.dumps(ready | facts))
            else:
                words = f" ({mirror.labels})" if mirror.labels else ""
                click.echo(f"ready {' '.join(server.urls)} mirrors {mirror.board}{words}")

        # What is here now stays: millions of nodes of the state map need no search for cycles.
        gc.freeze()
        server = Server(
            mirror.app,
            listen=[parse_listen(address) for address in listen],
            limits=settings.limits,
            on_ready=say_ready,
        )
        mirror.run.ended = server.stop
        if mirror.run.failure is None:
            server.run()
        failure = mirror.run.failure
    if failure is not None:
        raise failure
    note("stopped; what was fetched is on the disk", as_json=as_json)
