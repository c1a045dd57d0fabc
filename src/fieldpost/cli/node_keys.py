# SPDX-License-Identifier: Apache-2.0
"""`fieldpost node make-keys`: an operator's keys on a token, before the first start."""

from pathlib import Path

import click

from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.options import find_pin_prompt


@click.command(name="make-keys")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the board's data, new or empty.",
)
@click.option(
    "--token",
    metavar="URI",
    required=True,
    help="pkcs11:token=LABEL?module-path=FILE&pin-source=file:FILE. A node starts alone, so the "
    "PIN is in a file.",
)
@json_option
def make_keys(*, data: Path, token: str, as_json: bool) -> None:
    r"""Make governance, log and cosigner keys on a token; the first `node run` makes the board.

    They never leave the token, and cannot be copied: what happens when it breaks is in
    docs/operations/keys-in-tokens.md. Without this command the first start makes keys in files.

    \b
    fieldpost node make-keys --data /var/lib/fieldpost \
      --token "pkcs11:token=board?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/fieldpost/pin"
    """  # noqa: E501 - a command to copy stands on as few lines as it can
    from fieldpost.engines.board_files import name_keys_in_token
    from fieldpost.keys import Algorithm
    from fieldpost.signers.tokens import KeyMaker

    maker = KeyMaker.on(token, find_pin_prompt())
    made = name_keys_in_token(
        data, lambda name: maker.make(Algorithm.ED25519, f"fieldpost board {name}")
    )
    show({"keys": [str(path) for path in made]}, as_json=as_json, title="Keys made on the token")
    note(f"next: fieldpost node run --data {data} --origin NAME/1", as_json=as_json)


commands = (make_keys,)
