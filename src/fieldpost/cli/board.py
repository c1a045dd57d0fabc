# SPDX-License-Identifier: Apache-2.0
"""`fieldpost board`: what a board is, and a check of everything it ever said."""

from dataclasses import asdict
from pathlib import Path

import click

from fieldpost.cli.board_access import Board
from fieldpost.cli.console import json_option, moment, show, table
from fieldpost.cli.failures import FAMILIES
from fieldpost.cli.log_audit import Read
from fieldpost.cli.options import board_option, home_options, open_home
from fieldpost.errors import Misconfigured, Untrusted

_BUNDLE_BYTES = 256 * (65_535 + 2)
DAMAGED = FAMILIES[Untrusted][0]


@click.group(name="board")
def command() -> None:
    r"""Look at a board, and verify all of it.

    \b
    fieldpost board show --board http://127.0.0.1:8470
    fieldpost board verify --board http://127.0.0.1:8470
    """


def _choose(board_url: str | None, home: Path | None, passphrase_file: Path | None) -> Board:
    url = board_url
    if url is None:
        maker = open_home(home, passphrase_file)
        url = maker.settings().board_url if (maker.path / "maker.json").exists() else None
    if url is None:
        raise Misconfigured("which board? give --board URL or set FIELDPOST_BOARD")
    return Board(url)


@command.command(name="show")
@board_option
@home_options
@json_option
def show_board(
    *, board_url: str | None, home: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    r"""Show who runs a board and how much is on it, in the words of one node.

    \b
    fieldpost board show --board https://board.example
    """
    board = _choose(board_url, home, passphrase_file)
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


@command.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, exists=True))
@board_option
@home_options
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    *,
    directory: Path | None,
    board_url: str | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Verify all of a board: DIRECTORY, or the board at --board.

    Every entry is hashed, every signature checked, every rule applied again, every state compared,
    and the newest checkpoint must carry the operators' quorum. Nothing is believed. DIRECTORY is a
    copy of a log, or a node's data folder or backup, of which every file is checked then, also
    while the node runs; what is damaged is named, with what to do (exit code 3).

    \b
    fieldpost board verify --board https://board.example
    fieldpost board verify ./copy-of-the-log
    fieldpost board verify /var/lib/fieldpost
    """
    # It needs the whole ledger, which no other command here does.
    from fieldpost.cli.board_audit import verify_data, verify_log

    if directory is None:
        read = _fetcher(_choose(board_url, home, passphrase_file))
        facts = verify_log(read, as_json=as_json).facts
        show(facts, as_json=as_json, title="Verified: the log proves every word of the state")
        return
    if not (directory / "log").is_dir():
        facts = verify_log(_reader(directory), as_json=as_json).facts
        show(facts, as_json=as_json, title="Verified: the log proves every word of the state")
        return
    facts, damaged = verify_data(directory, _reader(directory / "log"), as_json=as_json)
    rows = [asdict(finding) for finding in damaged]
    if rows or as_json:
        facts |= {"damaged": rows if as_json else [row["file"] for row in rows]}
    show(
        facts,
        as_json=as_json,
        title="Damaged" if rows else "Verified: every file is what the log makes it",
    )
    if rows:
        if not as_json:
            table(rows, as_json=False, empty="")
        ctx.exit(DAMAGED)


def _reader(root: Path) -> Read:
    def read(path: str) -> bytes:
        try:
            return (root / path).read_bytes()
        except OSError as error:
            raise Misconfigured(
                f"{root / path} cannot be read: {error.strerror}; copy it from a mirror or a backup"
            ) from error

    return read


def _fetcher(board: Board) -> Read:
    return lambda path: board.http.fetch(f"/log/{path}", most_bytes=_BUNDLE_BYTES)
