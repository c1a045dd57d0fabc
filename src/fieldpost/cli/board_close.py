# SPDX-License-Identifier: Apache-2.0
"""`fieldpost board close`: the last link of a board, which says where it goes on."""

from dataclasses import replace
from pathlib import Path

import click

from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.operator_board import post_record
from fieldpost.cli.operator_desk import Desk, desk_options
from fieldpost.cli.signing import export_option
from fieldpost.errors import Conflict
from fieldpost.records.identifiers import check_origin


@click.command(name="close")
@click.option("--successor", required=True, help="Origin where the board goes on.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@export_option
@desk_options
@json_option
def close(
    *,
    successor: str,
    yes: bool,
    export: Path | None,
    data: Path,
    board_urls: tuple[str, ...],
    as_json: bool,
) -> None:
    r"""Close a board, for good: it takes no post any more, and says where to go.

    Devices go on checking in for as long as the node runs; their makers move them to a board of
    their choice by `fieldpost maker set-policy --move-to` BEFORE you close.

    \b
    fieldpost board close --successor board.example/2 --data ./board --board URL
    """
    check_origin(successor)
    desk = Desk(data, board_urls, as_json=as_json)
    if desk.record.successor_origin is not None:
        raise Conflict(f"the board is closed already; it goes on at {desk.record.successor_origin}")
    if not yes:
        click.confirm(
            f"Close {desk.board.id} for good? No maker can post here any more, not even to move "
            "its devices away.",
            abort=True,
            err=True,
        )
    posted = post_record(desk, replace(desk.record, successor_origin=successor), (), export)
    show(
        {"board": desk.board.id, "successor": successor} | posted,
        as_json=as_json,
        title="Board closed" if export is None else "To be signed by other operators",
    )
    note("next: keep the node running while devices still ask it", as_json=as_json)


commands = (close,)
