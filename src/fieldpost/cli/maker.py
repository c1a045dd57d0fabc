# SPDX-License-Identifier: Apache-2.0
"""`fieldpost maker`: keys, registration, and what the board says of a maker."""

from pathlib import Path

import click

from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.new_keys import plan_keys, token_options
from fieldpost.cli.options import (
    home_options,
    is_number,
    open_home,
)
from fieldpost.cli.recovery_sheet import write_recovery_sheet
from fieldpost.errors import Malformed
from fieldpost.keys import Algorithm
from fieldpost.records.maker import Role

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
@token_options
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
    token: str | None,
    on_token: tuple[str, ...],
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
    fieldpost maker init --name "Example Lamps" --on-token release \
      --token "pkcs11:token=lamps?module-path=/usr/lib/softhsm/libsofthsm2.so"
    """
    root_threshold, root_count = (1, 1) if one_key else parse_threshold(roots)
    release_threshold, release_count = parse_threshold(releases)
    keys = plan_keys(
        algorithm=ALGORITHMS[algorithm],
        token=token,
        on_token=on_token,
        roles=set(Role),
        no_passphrase=no_passphrase,
        passphrase_file=passphrase_file,
    )
    several = {Role.ROOT: root_count, Role.RELEASE: release_count}
    maker = open_home(home, passphrase_file)
    settings = maker.create(
        name=name,
        counts={role: several.get(role, 1) for role in Role},
        make_key=keys.make,
        root_threshold=root_threshold,
        release_threshold=release_threshold,
    )
    sheet = write_recovery_sheet(maker)
    show(
        {
            "maker": settings.maker,
            "name": name,
            "roots": f"{root_threshold} of {root_count}",
            "releases": f"{release_threshold} of {release_count}",
            "keys": str(maker.path / "keys"),
            "encrypted": keys.passphrase is not None,
            "on_token": sorted(role.name.lower() for role in keys.on_token) or None,
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
