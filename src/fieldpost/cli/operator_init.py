# SPDX-License-Identifier: Apache-2.0
"""`fieldpost operator init`: the keys of an operator, and the file that tells others of them."""

from pathlib import Path

import click

from fieldpost.cli.console import json_option, note, show


@click.command(name="init")
@click.argument("name")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of your node's data, new or empty.",
)
@click.option("--origin", required=True, help="Name of the board, for ever, as board.example/1.")
@click.option(
    "--url", "urls", multiple=True, required=True, help="Your node's address. Repeatable."
)
@click.option(
    "--p2p-address",
    required=True,
    metavar="HOST:PORT",
    help="Where the other operators' CometBFT reaches yours, as board.example:26656.",
)
@click.option("--post-quantum", is_flag=True, help="Cosign with ML-DSA-44 too.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Your public file.  [default: NAME.operator]",
)
@json_option
def init(
    *,
    name: str,
    data: Path,
    origin: str,
    urls: tuple[str, ...],
    p2p_address: str,
    post_quantum: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    r"""Make an operator's keys for a board that several run, and NAME.operator for the others.

    Keys that are there are kept, so the same command writes the same file again. The file holds
    no secret. Send it to every other operator, and read its fingerprint to them by telephone.

    \b
    fieldpost operator init berlin --origin board.example/1 --url https://berlin.example \
        --p2p-address berlin.example:26656 --data /var/lib/fieldpost
    """
    from fieldpost import durable
    from fieldpost.cli.operator_file import make_operator
    from fieldpost.engines.board_files import keys_directory

    made = make_operator(
        data,
        name=name,
        origin=origin,
        urls=urls,
        p2p_address=p2p_address,
        post_quantum=post_quantum,
    )
    out = out or Path(f"{name}.operator")
    durable.write_file(out, made.encode())
    show(
        {
            "name": name,
            "origin": origin,
            "public_file": str(out),
            "fingerprint": made.fingerprint,
            "peer": made.peer,
            "keys": [str(keys_directory(data)), str(data / "cometbft" / "config")],
        },
        as_json=as_json,
        title="Operator",
    )
    note(
        "next: back up the keys, send the public file to every other operator, then",
        as_json=as_json,
    )
    note(f"  fieldpost operator genesis --data {data} *.operator --time …", as_json=as_json)


commands = (init,)
