# SPDX-License-Identifier: Apache-2.0
"""`fieldpost board`: what a board is, and a check of everything it ever said."""

from pathlib import Path

import click

from fieldpost.cli.board_access import Board
from fieldpost.cli.board_memory import own_urls
from fieldpost.cli.console import json_option, moment, show
from fieldpost.cli.options import board_option, home_options, open_home
from fieldpost.errors import Misconfigured


@click.group(name="board")
def command() -> None:
    r"""Look at a board, and check all of it.

    \b
    fieldpost board show --board http://127.0.0.1:8470
    fieldpost board fsck http://127.0.0.1:8470
    """


def choose_board(
    board_urls: tuple[str, ...], home: Path | None, passphrase_file: Path | None
) -> Board:
    """The board that was named, or that of the maker's home. Raises Misconfigured."""
    urls = board_urls
    if not urls:
        urls = own_urls(open_home(home, passphrase_file))
    if not urls:
        raise Misconfigured("which board? give --board URL or set FIELDPOST_BOARD")
    return Board(*urls)


@command.command(name="show")
@board_option
@home_options
@json_option
def show_board(
    *, board_urls: tuple[str, ...], home: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    r"""Show who runs a board and how much is on it, in the words of one node.

    \b
    fieldpost board show --board https://board.example
    """
    board = choose_board(board_urls, home, passphrase_file)
    if as_json:
        show(board.view_json(), as_json=True)
        return
    view = board.view()
    label = "solo: one operator, no witness; nobody else vouches for one history"
    successor = board.record()[0].successor_origin
    show(
        {
            "board": view.board,
            "kind": label if view.solo else f"{len(view.operators)} operators",
            "trial": "yes: its name is its own invention" if view.trial else "no",
            "closed": f"yes: it goes on at {successor}" if successor else None,
            "entries": view.size,
            "time": moment(view.time),
            "epoch": view.epoch,
            "operators": list(view.operators),
            "witnesses": _witness_lines(board.view_json()) or None,
        },
        as_json=False,
        title=view.origin,
    )


def _witness_lines(view: dict[str, object]) -> list[str]:
    """A line for each outside witness: what it did last, as the node says it."""
    states = view.get("witness_states")
    lines = []
    for state in states if isinstance(states, list) else ():
        match state:
            case {"name": str(name), "state": str(word), "size": int(size), "time": int(time)}:
                lines.append(f"{name}: {word}, size {size} at {moment(time)}")
            case {"name": str(name), "state": str(word)}:
                lines.append(f"{name}: {word}")
    return lines
