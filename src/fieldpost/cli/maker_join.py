# SPDX-License-Identifier: Apache-2.0
"""`fieldpost maker join`: a home for somebody who holds one key of another maker's.

A contract manufacturer enrols lots in its customer's name with a key of its own, made where it is
used. Board and maker come from the provisioning record, which the customer's roots signed.
"""

from pathlib import Path

import click

from fieldpost.checkin.belief import believe
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.maker import ALGORITHMS
from fieldpost.cli.options import find_passphrase, home_options, open_home
from fieldpost.records.maker import Role
from fieldpost.signers.software import SoftwareSigner

EVERYDAY = {role.name.lower(): role for role in Role if role is not Role.ROOT}


@click.command(name="join")
@click.argument(
    "provisioning", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE"
)
@click.option(
    "--role",
    type=click.Choice(list(EVERYDAY)),
    default="enrol",
    show_default=True,
    help="What you will do for the maker.",
)
@click.option(
    "--algorithm",
    type=click.Choice(list(ALGORITHMS)),
    default="ed25519",
    show_default=True,
    help="Of your key.",
)
@click.option("--no-passphrase", is_flag=True, help="Leave the key file unencrypted (for trials).")
@home_options
@json_option
def join(
    *,
    provisioning: Path,
    role: str,
    algorithm: str,
    no_passphrase: bool,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Make one key to act for the maker whose provisioning record is FILE.

    For a contract manufacturer who enrols lots: the key is made here and stays here. It may do
    nothing until the maker's roots add it, for the classes, the number of devices and the time
    that they choose.

    \b
    fieldpost maker join lamp.provisioning --home ./for-example-lamps
    """
    belief, record = believe(provisioning.read_bytes())
    view = belief.maker_view()
    passphrase = None if no_passphrase else find_passphrase(passphrase_file, new=True)()
    signer = SoftwareSigner.generate(ALGORITHMS[algorithm])
    maker = open_home(home, passphrase_file)
    maker.join(
        name=view.name,
        maker=belief.maker.hex(),
        role=EVERYDAY[role],
        signer=signer,
        passphrase=passphrase,
        board=belief.board,
        board_urls=record.urls,
    )
    key = signer.public_key
    show(
        {
            "maker": f"{belief.maker.hex()} ({view.name})",
            "board": belief.board,
            "role": role,
            "key": key.raw.hex(),
            "thumbprint": key.thumbprint().hex(),
            "key_file": str(maker.path / "keys" / f"{role}-1.pem"),
        },
        as_json=as_json,
        title="Your key is made",
    )
    note(
        f"next, where the maker's roots are: fieldpost maker add-key {role} KEY --export-unsigned "
        "FILE; then sign FILE here",
        as_json=as_json,
    )


commands = (join,)
