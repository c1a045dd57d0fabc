# SPDX-License-Identifier: Apache-2.0
"""`fieldpost class`: one unit of binary compatibility, and what its devices are to trust."""

from pathlib import Path

import click

from fieldpost.cli.board_access import Board
from fieldpost.cli.bound_board import bound_board
from fieldpost.cli.console import json_option, moment, show
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.options import board_option, home_options, open_home
from fieldpost.errors import Misconfigured
from fieldpost.records.device_class import ClassRecord, decode_class_record
from fieldpost.records.identifiers import check_class_name, class_id


@click.group(name="class")
def command() -> None:
    r"""Add a class of devices; write the file that tells its devices what to trust.

    A class is what one firmware image runs on: MODEL[:REVISION[:VARIANT]].

    \b
    fieldpost class add bulb-a19:r2 --support-end 2032-12-31
    fieldpost class trust bulb-a19:r2 --out bulb.provisioning
    """


def resolve_class(maker_id: bytes, name: str) -> bytes:
    """A class id: from 32 hex digits, or from the name of one of the maker's classes."""
    if len(name) == 32 and all(digit in "0123456789abcdef" for digit in name):
        return bytes.fromhex(name)
    return class_id(maker_id, check_class_name(name))


def read_class(board: Board, class_: bytes) -> ClassRecord:
    """A class record as the board's node shows it. Raises NotFound with the next step."""
    return decode_class_record(board.class_view(class_).record)


def choose_class(
    name: str, *, maker: MakerHome, board_urls: tuple[str, ...], as_json: bool
) -> tuple[Board, bytes]:
    """The board and class that a reading command is about: yours by name, anybody's by id."""
    if not board_urls:
        board = bound_board(maker, as_json=as_json)
        return board, resolve_class(bytes.fromhex(maker.settings().maker), name)
    if len(name) != 32 and not (maker.path / "maker.json").exists():
        raise Misconfigured(
            f"{name!r} is no class id of 32 hex digits; a name is looked up among your own "
            "classes, and there is no maker in your --home"
        )
    mine = b"" if len(name) == 32 else bytes.fromhex(maker.settings().maker)
    return Board(*board_urls), resolve_class(mine, name)


@command.command(name="show")
@click.argument("name")
@board_option
@home_options
@json_option
def show_class(
    *,
    name: str,
    board_urls: tuple[str, ...],
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Show a class (NAME of yours, or an id with --board): channels, newest release, devices.

    \b
    fieldpost class show bulb-a19:r2
    fieldpost class show ed4b55f3ed085ad5bf188bff940aee57 --board https://board.example
    """
    maker = open_home(home, passphrase_file)
    board, class_ = choose_class(name, maker=maker, board_urls=board_urls, as_json=as_json)
    if as_json:
        show(board.json_object(f"/v1/classes/{class_.hex()}"), as_json=True)
        return
    view = board.class_view(class_)
    record = decode_class_record(view.record)
    show(
        {
            "class": class_.hex(),
            "maker": view.maker,
            "channels": list(record.channels),
            "support_end": moment(record.support_end),
            "newest": view.newest,
            "floor": view.floor,
            "devices": view.devices,
        },
        as_json=False,
        title=record.name,
    )
