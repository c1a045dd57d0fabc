# SPDX-License-Identifier: Apache-2.0
"""`fieldpost operator wipe`: begin again from the other operators' copies, with the same keys."""

from pathlib import Path

import click

from fieldpost.cli.console import json_option, note, show


@click.command(name="wipe")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder of your node's data; the node must not run.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def wipe(*, data: Path, yes: bool, as_json: bool) -> None:
    r"""Remove log, state and blocks, which the node fetches from its peers at the next start.

    For a node whose data is damaged, or of two different times. Keys stay, and so does what they
    signed last: priv_validator_state.json keeps the validator key from voting twice for one height,
    and largest-signed the log key from signing a second history. Blobs and reports stay.

    \b
    fieldpost operator wipe --data /var/lib/fieldpost
    """
    from fieldpost.engines.cometbft.home import comet_home, read_genesis
    from fieldpost.engines.cometbft.wiping import wipe_replica
    from fieldpost.errors import Misconfigured

    if read_genesis(comet_home(data)) is None:
        raise Misconfigured(
            f"{data} is of no board that several operators run: nobody could give back what is "
            "removed"
        )
    if not yes:
        click.confirm(f"Remove the log, state and blocks in {data}?", abort=True, err=True)
    gone = wipe_replica(data)
    show({"removed": [str(path) for path in gone]}, as_json=as_json, title="Wiped")
    note("next: fieldpost operator run; it catches up with the others", as_json=as_json)


commands = (wipe,)
