# SPDX-License-Identifier: Apache-2.0
"""`monitor expect`: a first file of expectations, from what the board proves now."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import click

from fieldpost import cbor
from fieldpost.cli.board_access import Board
from fieldpost.cli.console import json_option, note, show_json
from fieldpost.cli.options import HexId
from fieldpost.cli.proven import ProvenBoard
from fieldpost.durable import write_file
from fieldpost.errors import Malformed, NotFound, Unavailable
from fieldpost.records import map_keys
from fieldpost.records.device_class import decode_class_record
from fieldpost.records.head import decode_head
from fieldpost.records.limits import MAX_CLASSES
from fieldpost.records.maker import MakerRecord, Role, decode_maker_record
from fieldpost.watch.monitor.expectations import parse_expectations

_HEAD = """\
# What is expected of these makers on this board. A monitor alarms about everything else:
#     fieldpost monitor run --expect THIS FILE --board URL --data DIR
# Written by `fieldpost monitor expect` from what the board proves; correct it, and keep it where
# changes are reviewed. A running monitor reads it again when it changes.
"""
_MAKER = """
[[maker]]
id = {id}
name = {name}
size = {size}            # posts from this entry on are judged
epoch = {epoch}            # a later record of the maker alarms
# kinds = ["release.publish", "rollout.set"]     # others would alarm
# days = ["mon", "tue", "wed", "thu", "fri"]     # posts on other days would alarm, in UTC
# hours = ["06:00-18:00"]                        # posts at other times would alarm, in UTC
# Every lot that is enrolled alarms, unless it is named:
# [[maker.lot]]
# id = "…"
"""


@click.command()
@click.option(
    "--maker", "makers", type=HexId(16), multiple=True, required=True, help="Id of a maker."
)
@click.option("--board", "url", required=True, help="URL of a node of the board.")
@click.option("--board-id", help="Id of the board.  [default: what the node says]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write here.  [default: standard output]",
)
@json_option
def expect(
    *,
    makers: tuple[bytes, ...],
    url: str,
    board_id: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    r"""Write a first file of expectations: the makers' keys and offers of now, all proven.

    Read it before you use it: whatever is there is taken for right.

    \b
    fieldpost monitor expect --maker ID --board https://board.example -o expected.toml
    """
    board = Board(url)
    proven = ProvenBoard(board, board_id or board.id, now=int(time.time()))
    written = [_maker(proven, maker) for maker in makers]
    text = f"{_HEAD}version = 1\nboard = {_toml(proven.id)}\n" + "".join(written)
    parse_expectations(text.encode())  # what is written can be read
    if output is not None:
        write_file(output, text.encode())
    if as_json:
        show_json(
            {
                "board": proven.id,
                "size": proven.size,
                "file": output and str(output),
                "expectations": text,
            }
        )
    elif output is None:
        click.echo(text, nl=False)
        return
    note(
        f"wrote {output}; read it, then: fieldpost monitor run --expect {output} --board {url} …",
        as_json=as_json,
    )


def _maker(proven: ProvenBoard, maker: bytes) -> str:
    value = proven.value(map_keys.maker(maker))
    if value is None:
        raise NotFound(f"board {proven.id} proves that it has no maker {maker.hex()}")
    record = decode_maker_record(value)
    # The offers first: what is judged begins where the oldest of these proofs ends.
    offers = "".join(_offers(proven, maker))
    head = _MAKER.format(
        id=_toml(maker.hex()), name=_toml(record.name), size=proven.size or 0, epoch=record.epoch
    )
    return head + "".join(_keys(record)) + offers


def _keys(record: MakerRecord) -> Iterator[str]:
    for role in Role:
        for kid in record.keys_of(role).by_kid():
            yield f"[[maker.key]]\nkid = {_toml(kid.hex())}\nrole = {_toml(role.name.lower())}\n"


def _offers(proven: ProvenBoard, maker: bytes) -> Iterator[str]:
    yield (
        "# Offers; others would alarm. Without class, channel or sequence one is for all of them,\n"
        "# so this lets any release go to a tenth of the devices:\n"
        "# [[maker.rollout]]\n# percent = 10\n"
    )
    found = list(_present_offers(proven, maker))
    # An empty list restricts, no list does not; the file shall say what it means.
    yield from found or ["[[maker.rollout]]\npercent = 0\n"]


def _present_offers(proven: ProvenBoard, maker: bytes) -> Iterator[str]:
    for class_id in _classes(proven, maker):
        value = proven.value(map_keys.device_class(class_id))
        if value is None:
            raise Unavailable("the board grew while it was read: run the command again")
        record = decode_class_record(value)
        for channel in record.channels:
            head = proven.value(map_keys.head(class_id, channel))
            if head is None:
                raise Unavailable("the board grew while it was read: run the command again")
            for offer in decode_head(head).offers:
                percent = offer.threshold / 2**32 * 100
                yield (
                    f"[[maker.rollout]]\nclass = {_toml(class_id.hex())}     # {record.name}\n"
                    f"channel = {_toml(channel)}\nsequence = {offer.sequence}\n"
                    f"percent = {percent:.6f}\n"
                )


def _classes(proven: ProvenBoard, maker: bytes) -> list[bytes]:
    value = proven.value(map_keys.maker_classes(maker))
    if value is None:
        return []
    classes = cbor.decode(value)
    if not isinstance(classes, tuple) or len(classes) > MAX_CLASSES:
        raise Malformed("a maker's classes are no list")
    return [one for one in classes if isinstance(one, bytes)]


def _toml(text: str) -> str:
    # JSON strings of printable text are TOML's basic strings.
    return json.dumps(text)


commands = (expect,)
