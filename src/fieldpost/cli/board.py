# SPDX-License-Identifier: Apache-2.0
"""`fieldpost board`: what a board is, and a check of everything it ever said."""

from collections.abc import Callable, Iterator
from pathlib import Path

import click

from fieldpost.cli.board_access import Board, policy_of
from fieldpost.cli.console import json_option, moment, progress, show
from fieldpost.cli.log_audit import Read, read_log
from fieldpost.cli.options import board_option, home_options, open_home
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.ledger.replay import replay
from fieldpost.records import map_keys
from fieldpost.records.board import decode_board_record
from fieldpost.records.identifiers import board_id
from fieldpost.records.state_leaf import is_state_leaf
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.treehead import parse_checkpoint

_BUNDLE_BYTES = 256 * (65_535 + 2)


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
        },
        as_json=False,
        title=view.origin,
    )


@command.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, exists=True))
@board_option
@home_options
@json_option
def verify(
    *,
    directory: Path | None,
    board_url: str | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Verify all of a board: DIRECTORY (a copy of its log) or the one at --board.

    Every entry is hashed, every signature checked, every rule applied again, every state compared,
    and the newest checkpoint must carry the operators' quorum. Nothing is believed.

    \b
    fieldpost board verify --board https://board.example
    fieldpost board verify ./copy-of-the-log
    """
    read = _reader(directory) if directory else _fetcher(_choose(board_url, home, passphrase_file))
    facts = _verify(read, as_json=as_json)
    show(facts, as_json=as_json, title="Verified: the log proves every word of the state")


def _reader(directory: Path) -> Read:
    root = directory / "log" if (directory / "log").is_dir() else directory

    def read(path: str) -> bytes:
        try:
            return (root / path).read_bytes()
        except OSError as error:
            raise Misconfigured(f"{root / path} cannot be read: {error.strerror}") from error

    return read


def _fetcher(board: Board) -> Read:
    return lambda path: board.http.fetch(f"/log/{path}", most_bytes=_BUNDLE_BYTES)


def _verify(read: Read, *, as_json: bool) -> dict[str, object]:
    note = read("checkpoint")
    try:
        claimed = parse_checkpoint(parse_note(note).text)
    except Malformed as error:
        raise Malformed(f"checkpoint is damaged: {error}") from error
    if claimed.size == 0:
        raise Malformed("the log is empty; a board begins with its genesis")
    entries = read_log(read, claimed, as_json=as_json)
    with progress("applying every rule again", claimed.size, as_json=as_json) as advance:
        state = replay(None, _counted(entries, advance))
    record_bytes = state.map.value(map_keys.board())
    if record_bytes is None:
        raise AssertionError("a replayed board has a record")
    record = decode_board_record(record_bytes)
    checkpoint, times = policy_of(record).verify(note, origin=record.origin)
    return {
        "board": board_id(record.origin, leaf_hash(entries[0])),
        "entries": checkpoint.size,
        "posts": sum(not is_state_leaf(entry) for entry in entries),
        "root": checkpoint.root.hex(),
        "keys_in_state": len(state.map),
        "map_root": state.map.root.hex(),
        "solo": record.is_solo,
        "cosigned_at": [moment(time) for time in times.values()],
    }


def _counted(entries: list[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    for entry in entries:
        yield entry
        advance(1)
