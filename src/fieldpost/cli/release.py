# SPDX-License-Identifier: Apache-2.0
"""`fieldpost release`: what was released, newest first."""

from pathlib import Path

import click

from fieldpost.cli.console import json_option, show_json, table
from fieldpost.cli.device_class import choose_class
from fieldpost.cli.options import board_option, home_options, open_home


@click.group(name="release")
def command() -> None:
    r"""Publish signed releases.

    \b
    fieldpost release publish bulb-a19:r2 firmware.bin --version 1.1.0
    fieldpost release list bulb-a19:r2
    """


@command.command(name="list")
@click.argument("class_name", metavar="CLASS")
@board_option
@home_options
@json_option
def list_releases(
    *,
    class_name: str,
    board_urls: tuple[str, ...],
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""List the releases of a class, newest first.

    \b
    fieldpost release list bulb-a19:r2
    fieldpost release list ed4b55f3ed085ad5bf188bff940aee57 --board https://board.example
    """
    maker = open_home(home, passphrase_file)
    board, class_ = choose_class(class_name, maker=maker, board_urls=board_urls, as_json=as_json)
    if as_json:
        show_json(board.json(f"/v1/classes/{class_.hex()}/releases"))
        return
    rows = [
        {
            "sequence": row.sequence,
            "version": row.version,
            "kind": row.kind,
            "manifest": row.manifest[:16] + "…",
            "complete": not row.missing,
            "withdrawn": row.withdrawn,
        }
        for row in board.releases(class_)
    ]
    table(rows, as_json=False, empty="no release yet; `fieldpost release publish`")
