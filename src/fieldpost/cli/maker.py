# SPDX-License-Identifier: Apache-2.0
"""`fieldpost maker`: keys, registration, and what the board says of a maker."""

from pathlib import Path

import click

from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.options import (
    find_passphrase,
    home_options,
    is_number,
    open_home,
)
from fieldpost.cli.recovery_sheet import write_recovery_sheet
from fieldpost.errors import Malformed
from fieldpost.keys import Algorithm
from fieldpost.records.maker import Role
from fieldpost.signers.software import SoftwareSigner

ALGORITHMS = {
    "ed25519": Algorithm.ED25519,
    "p256": Algorithm.ESP256,
    "mldsa44": Algorithm.ML_DSA_44,
}
_DAY = 86_400


@click.group(name="maker")
def command() -> None:
    r"""Make your keys; register as a maker on a board; look at makers.

    \b
    fieldpost maker init --name "Example Lamps"
    fieldpost maker register --board http://127.0.0.1:8470
    fieldpost maker show
    """


@command.command()
@click.option("--name", required=True, help="Your name, as the board shows it (printable ASCII).")
@click.option("--roots", default="2-of-3", show_default=True, help="Root keys: K-of-N.")
@click.option("--one-key", is_flag=True, help="One root key. If it is lost or stolen, so are you.")
@click.option("--releases", default="1-of-1", show_default=True, help="Release keys: K-of-N.")
@click.option(
    "--algorithm",
    type=click.Choice(list(ALGORITHMS)),
    default="ed25519",
    show_default=True,
    help="Of all your keys; mldsa44 resists quantum computers, and is large.",
)
@click.option("--no-passphrase", is_flag=True, help="Leave the key files unencrypted (for trials).")
@home_options
@json_option
def init(
    *,
    name: str,
    roots: str,
    one_key: bool,
    releases: str,
    algorithm: str,
    no_passphrase: bool,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Make your keys: roots, and one each to release, roll out, enrol and care.

    Roots change everything else and should live apart from this machine: after `maker register`,
    move HOME/keys/root-*.pem to other places. Everyday posts need the other keys only; `class add`
    and `class trust` need as many roots as you say here.

    \b
    fieldpost maker init --name "Example Lamps" --roots 2-of-3
    fieldpost maker init --name trial --one-key --no-passphrase --home ./trial
    """
    root_threshold, root_count = (1, 1) if one_key else parse_threshold(roots)
    release_threshold, release_count = parse_threshold(releases)
    passphrase = None if no_passphrase else find_passphrase(passphrase_file, new=True)()
    counts = {Role.ROOT: root_count, Role.RELEASE: release_count}
    signers = {
        role: tuple(
            SoftwareSigner.generate(ALGORITHMS[algorithm]) for _ in range(counts.get(role, 1))
        )
        for role in Role
    }
    maker = open_home(home, passphrase_file)
    settings = maker.create(
        name=name,
        signers=signers,
        root_threshold=root_threshold,
        release_threshold=release_threshold,
        passphrase=passphrase,
    )
    sheet = write_recovery_sheet(maker)
    show(
        {
            "maker": settings.maker,
            "name": name,
            "roots": f"{root_threshold} of {root_count}",
            "releases": f"{release_threshold} of {release_count}",
            "keys": str(maker.path / "keys"),
            "encrypted": passphrase is not None,
            "recovery_sheet": str(sheet),
        },
        as_json=as_json,
        title="Your keys are made",
    )
    note("next: fieldpost maker register --board URL", as_json=as_json)


def parse_threshold(text: str) -> tuple[int, int]:
    """(needed, count) of `2-of-3`. Raises Malformed."""
    needed, middle, count = text.partition("-of-")
    if not middle or not (is_number(needed) and is_number(count)):
        raise Malformed(f"{text!r} is no threshold; write for example 2-of-3")
    if not 1 <= int(needed) <= int(count) <= 8:
        raise Malformed(f"{text!r}: needed keys between 1 and the number of keys, at most 8")
    return int(needed), int(count)
