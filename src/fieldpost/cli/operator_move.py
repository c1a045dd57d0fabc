# SPDX-License-Identifier: Apache-2.0
"""`fieldpost operator move`: a board that one node wrote goes on at several operators."""

from hashlib import sha256
from pathlib import Path
from typing import Final

import click

from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.node_recovery import entries_bar
from fieldpost.cli.operator_file import read_operator_file
from fieldpost.cli.operator_join import begin_options, check_origins, own_file
from fieldpost.errors import Misconfigured

_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(name="move")
@click.argument("files", metavar="OPERATOR...", nargs=-1, required=True, type=_FILE)
@click.option(
    "--from",
    "source",
    required=True,
    metavar="URL|DIR",
    help="The board's old node, or a copy of its log.",
)
@click.option(
    "--compare",
    multiple=True,
    metavar="URL|DIR",
    help="A mirror, whose checkpoint must be part of the same log. Repeatable.",
)
@begin_options
@json_option
def move(
    *,
    files: tuple[Path, ...],
    source: str,
    compare: tuple[str, ...],
    data: Path,
    settings: Path | None,
    as_json: bool,
) -> None:
    r"""Begin as one of the operators to whom a board was given; each runs the same command.

    The old node's operator has posted `operator board-set` with the public files of all, as the
    last that it writes. This copies the log, applies every rule to it again, checks that your keys
    are among the record's, and writes genesis.json: the same bytes at every operator, who compare
    the SHA-256. It may be repeated at any time. The whole of it: docs/operations/move-to-cluster.md

    \b
    fieldpost operator move *.operator --from https://board.example --data /var/lib/fieldpost \
        --settings operator.toml
    """
    from fieldpost.cli.founding import starter_settings
    from fieldpost.engines.board_files import keys_directory
    from fieldpost.engines.cometbft.home import comet_home, write_genesis
    from fieldpost.engines.cometbft.moving import check_same, moved_genesis
    from fieldpost.engines.operator_keys import find_keys
    from fieldpost.node.mirrors import open_mirror

    members = [read_operator_file(path) for path in files]
    own = own_file(data, members)
    others = [open_mirror(text) for text in compare]
    with entries_bar(as_json=as_json) as watch:
        genesis, record = moved_genesis(data, open_mirror(source), watch=watch)
    for other in others:
        check_same(data, other)
    check_origins(members, record.origin)
    find_keys(keys_directory(data), record)
    strange = {member.operator.name for member in members} - {
        operator.name for operator in record.operators if operator in [m.operator for m in members]
    }
    if strange:
        raise Misconfigured(
            f"the board has other keys or addresses of {min(strange)} than its public file: take "
            "the files that the board was given to"
        )
    content = genesis.encode()
    write_genesis(comet_home(data), content)
    if settings is not None:
        starter_settings(settings, data, own, members)
    show(
        {
            "board": genesis.board,
            "entries": genesis.size,
            "root": genesis.root.hex(),
            "operators": [operator.name for operator in record.operators],
            "sha256": sha256(content).hexdigest(),
            "settings": None if settings is None else str(settings),
            "peers": [member.peer for member in members if member != own],
        },
        as_json=as_json,
        title="Taken over",
    )
    note("next: compare the SHA-256 with the others, stop the old node, then", as_json=as_json)
    note("  fieldpost operator run", as_json=as_json)


commands = (move,)
