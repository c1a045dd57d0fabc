# SPDX-License-Identifier: Apache-2.0
"""`fieldpost operator vote-above`: a validator key whose last votes nobody knows any more."""

from pathlib import Path

import click

from fieldpost.cli.console import json_option, note, show


@click.command(name="vote-above")
@click.argument("height", type=click.IntRange(0, 2**62))
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder of your node's data, with the validator key; the node must not run.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def vote_above(*, height: int, data: Path, yes: bool, as_json: bool) -> None:
    r"""Let your validator key vote again after priv_validator_state.json was lost with its machine.

    HEIGHT is the largest last block among the other operators (fieldpost_cometbft_height), asked
    after it is certain that no process anywhere has the key. The key leaves out the one height for
    which it may have voted already; while it does, the others must be a quorum without it, so
    this needs four operators or more.

    \b
    fieldpost operator vote-above 48211 --data /var/lib/fieldpost
    """
    from fieldpost.engines.cometbft.home import comet_home
    from fieldpost.engines.cometbft.votes import vote_only_above
    from fieldpost.engines.exclusive import DirectoryLock

    if not yes:
        click.confirm(
            "Is every machine that ever had this key off for good, and was the height asked after "
            "that? A key that votes twice can split the board.",
            abort=True,
            err=True,
        )
    lock = DirectoryLock(data)
    try:
        first = vote_only_above(comet_home(data), height)
    finally:
        lock.release()
    show({"votes_from": first}, as_json=as_json, title="The key votes again")
    note("next: fieldpost operator run", as_json=as_json)


commands = (vote_above,)
