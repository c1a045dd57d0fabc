# SPDX-License-Identifier: Apache-2.0
"""`fieldpost fleet`: which devices really run what, and the service that takes their reports."""

from pathlib import Path

import click

from fieldpost.cli.board_access import bound_board
from fieldpost.cli.console import json_option, show, table
from fieldpost.cli.device_class import resolve_class
from fieldpost.cli.options import home_options, open_home


@click.group(name="fleet")
def command() -> None:
    r"""See which devices really run what.

    Updated means: the device booted the new image, confirmed it, and said so, signed.

    \b
    fieldpost fleet status bulb-a19:r2
    """


@command.command()
@click.argument("class_name", metavar="CLASS")
@home_options
@json_option
def status(
    *, class_name: str, home: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    """Count the devices of CLASS by release: confirmed, failed, reverted, stale, never seen."""
    maker = open_home(home, passphrase_file)
    board = bound_board(maker, as_json=as_json)
    class_ = resolve_class(bytes.fromhex(maker.settings().maker), class_name)
    view = board.json(f"/v1/fleet/{class_.hex()}")
    if as_json:
        show(view, as_json=True)
        return
    rows = [
        {"release": sequence, **counts}
        for sequence, counts in sorted(view["releases"].items(), key=lambda item: -int(item[0]))
    ]
    table(rows, as_json=False, empty="no report yet")
    show(
        {"devices": view["devices"], "stale": view["stale"], "never_seen": view["never_seen"]},
        as_json=False,
    )
