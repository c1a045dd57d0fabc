# SPDX-License-Identifier: Apache-2.0
"""`fieldpost fleet`: which devices really run what, and the service that takes their reports."""

from pathlib import Path

import click

from fieldpost.cli.board_access import Board
from fieldpost.cli.bound_board import bound_board
from fieldpost.cli.console import json_option, note, show, table
from fieldpost.cli.device_class import read_class, resolve_class
from fieldpost.cli.options import home_options, open_home
from fieldpost.cli.views import FleetView
from fieldpost.journal import configure


@click.group(name="fleet")
def command() -> None:
    r"""See which devices really run what.

    Updated means: the device booted the new image, confirmed it, and said so, signed.

    \b
    fieldpost fleet status bulb-a19:r2
    """


@command.command()
@click.argument("class_name", metavar="CLASS")
@click.option(
    "--fleet", "fleet_url", help="URL of your own fleet service.  [default: the board's node]"
)
@home_options
@json_option
def status(
    *,
    class_name: str,
    fleet_url: str | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Count the devices of CLASS by release: confirmed, failed, reverted, stale, never seen.

    \b
    fieldpost fleet status bulb-a19:r2
    fieldpost fleet status bulb-a19:r2 --fleet https://fleet.lamps.example
    """
    maker = open_home(home, passphrase_file)
    board = bound_board(maker, as_json=as_json)
    class_ = resolve_class(bytes.fromhex(maker.settings().maker), class_name)
    read_class(board, class_)
    service = Board(fleet_url) if fleet_url else board
    answer = service.json_object(f"/v1/fleet/{class_.hex()}")
    if as_json:
        show(answer, as_json=True)
        return
    view = FleetView.parse(answer)
    names = sorted({name for _, counts in view.releases for name in counts})
    rows = [
        {"release": sequence} | {name: counts.get(name, 0) for name in names}
        for sequence, counts in view.releases
    ]
    table(rows, as_json=False, empty="no device has reported yet")
    show(
        {"devices": view.devices, "stale": view.stale, "never_seen": view.never_seen},
        as_json=False,
    )
    if view.devices == 0:
        note(f"next: fieldpost lot enrol {class_name} --requests FOLDER")


@command.command()
@click.option(
    "--board",
    "board_urls",
    multiple=True,
    required=True,
    help="URL of any node of the board. Repeatable: one that answers is enough.",
)
@click.option(
    "--provisioning",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="What your devices trust (`fieldpost class trust`); the service trusts the same.",
)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), required=True, help="Its folder."
)
@click.option(
    "--listen",
    default="127.0.0.1:8471",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to serve; port 0 takes any free one, and the ready line says which.",
)
@click.option(
    "--metrics-listen",
    metavar="HOST:PORT",
    help="Where to serve /metrics, for yourself alone.  [default: nowhere]",
)
@json_option
def run(
    *,
    board_urls: tuple[str, ...],
    provisioning: Path,
    data: Path,
    listen: str,
    metrics_listen: str | None,
    as_json: bool,
) -> None:
    r"""Run your own fleet service, apart from any node, until SIGTERM or Ctrl-C.

    It takes your lots' leaves and your devices' reports; the board is read and never trusted.

    \b
    fieldpost fleet run --board URL --provisioning bulb.provisioning --data ./fleet
    """
    import json
    import time
    from contextlib import ExitStack

    from fieldpost.metrics.server import MetricsServer
    from fieldpost.node.config import parse_listen
    from fieldpost.node.fleet_alone import open_fleet
    from fieldpost.node.server import Server

    configure(form="logfmt", level="warning")
    address = parse_listen(listen)
    with ExitStack() as stack:
        alone = stack.enter_context(
            open_fleet(
                board_urls=board_urls,
                provisioning=provisioning.read_bytes(),
                data=data,
                clock=lambda: int(time.time()),
            )
        )
        if metrics_listen is not None:
            private = parse_listen(metrics_listen)
            stack.enter_context(MetricsServer(private, alone.metrics, lambda: None))

        def say_ready() -> None:
            ready = {"event": "ready", "url": server.url, "board": alone.board}
            click.echo(json.dumps(ready) if as_json else f"ready {server.url} board {alone.board}")

        server = Server(alone.app, listen=[address], limits=alone.limits, on_ready=say_ready)
        server.run()
