# SPDX-License-Identifier: Apache-2.0
"""`fieldpost operator join`: begin beside the operators of a board that runs already."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.operator_file import OperatorFile, read_operator_file
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.records.identifiers import origin_of

F = TypeVar("F", bound=Callable[..., Any])
_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)
_MOST_GENESIS_BYTES: Final = 1024 * 1024


def begin_options(command: F) -> F:
    """What every operator says who begins with a log that is there already."""
    for option in (
        click.option(
            "--settings",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Write the node's settings to begin with; a file that is there is kept.",
        ),
        click.option(
            "--data",
            type=click.Path(path_type=Path, exists=True, file_okay=False),
            required=True,
            help="Folder of your node's data, with the keys of `operator init`.",
        ),
    ):
        command = option(command)
    return command


@click.command(name="join")
@click.argument("genesis", type=_FILE)
@click.argument("files", metavar="OPERATOR...", nargs=-1, required=True, type=_FILE)
@click.option(
    "--from",
    "source",
    metavar="URL|DIR",
    help="Node, mirror or folder that has the log; only for a board that moved.",
)
@begin_options
@json_option
def join(
    *,
    genesis: Path,
    files: tuple[Path, ...],
    source: str | None,
    data: Path,
    settings: Path | None,
    as_json: bool,
) -> None:
    r"""Follow a board that others run, before it makes you an operator.

    GENESIS is the genesis.json of any of its operators; compare its SHA-256 with another one's.
    OPERATOR... are the public files of all, and yours. Then `operator run` fetches every block and
    checks it. When /readyz says yes, the others post `operator board-set --operator YOURS`, and
    your node signs from that entry on: nothing needs to be restarted.

    \b
    fieldpost operator join genesis.json *.operator --data /var/lib/fieldpost \
        --settings operator.toml
    """
    from fieldpost.cli.founding import starter_settings
    from fieldpost.engines.cometbft.genesis import decode_genesis
    from fieldpost.engines.cometbft.home import comet_home, write_genesis
    from fieldpost.engines.cometbft.moving import copy_base
    from fieldpost.node.mirrors import open_mirror

    if genesis.stat().st_size > _MOST_GENESIS_BYTES:
        raise Malformed(f"{genesis} is too large for a genesis.json")
    content = genesis.read_bytes()
    found = decode_genesis(content)
    members = [read_operator_file(path) for path in files]
    own = own_file(data, members)
    check_origins(members, origin_of(found.board))
    if found.genesis_post is None:
        if source is None:
            raise Misconfigured(
                f"this board moved with {found.size} entries, which no block has: name a node or a "
                "mirror of it with --from"
            )
        copy_base(data, found, open_mirror(source))
    write_genesis(comet_home(data), content)
    if settings is not None:
        starter_settings(settings, data, own, members)
    show(
        {
            "board": found.board,
            "sha256": sha256(content).hexdigest(),
            "entries": found.size,
            "settings": None if settings is None else str(settings),
            "peers": [member.peer for member in members if member != own],
        },
        as_json=as_json,
        title="Joined as a follower",
    )
    note("next: fieldpost operator run; once /readyz says yes, an operator posts", as_json=as_json)
    note(f"  fieldpost operator board-set --operator {own.operator.name}.operator", as_json=as_json)


def own_file(data: Path, files: Sequence[OperatorFile]) -> OperatorFile:
    """The public file whose keys are in `data`. Raises Misconfigured."""
    from fieldpost.engines.board_files import keys_directory
    from fieldpost.engines.cometbft.home import comet_home, read_validator_key
    from fieldpost.engines.operator_keys import find_keys

    key = read_validator_key(comet_home(data))
    for file in files:
        if file.operator.validator_key == key:
            find_keys(keys_directory(data), file.as_record())
            return file
    raise Misconfigured(
        f"none of the public files is of the keys in {data}: name your own too, as `fieldpost "
        "operator init` wrote it"
    )


def check_origins(files: Sequence[OperatorFile], origin: str) -> None:
    """Check that public files are for this board. Raises Misconfigured."""
    for file in files:
        if file.origin != origin:
            raise Misconfigured(
                f"the public file of {file.operator.name} is for the board {file.origin}, and this "
                f"is {origin}"
            )


commands = (join,)
