# SPDX-License-Identifier: Apache-2.0
"""`fieldpost agent` on the factory line: setting a device up, and whether it may leave."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from fieldpost.agent.enrolment import Base, enrol
from fieldpost.agent.home import Home
from fieldpost.agent.selftest import is_fit, run_selftest
from fieldpost.agent.slots.base import ONLY, name_of, parse_name
from fieldpost.agent.trust import believe_factory
from fieldpost.agent.world import World
from fieldpost.cli.agent_home import device_home_option
from fieldpost.cli.console import json_option, note, printable, show
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.identity.leaf import format_device_id
from fieldpost.keys import Algorithm
from fieldpost.suit.manifest import MAX_COMPONENTS

_ALGORITHMS: Final = {"ed25519": Algorithm.ED25519, "p256": Algorithm.ESP256}
_PROVISIONING_BYTES: Final = 65_536
UNFIT: Final = 1


@click.command(name="enrol")
@device_home_option
@click.option(
    "--provisioning",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The record that `fieldpost class trust` wrote.",
)
@click.option("--serial", required=True, help="This device's serial number.")
@click.option(
    "--algorithm",
    type=click.Choice(list(_ALGORITHMS)),
    default="ed25519",
    show_default=True,
    help="Of the device's own key.",
)
@click.option(
    "--token",
    metavar="URI",
    help="The key is in a secure element: pkcs11:token=LABEL;object=LABEL?module-path=FILE names "
    "one that is there; without object and id a new one is made.",
)
@click.option(
    "--base",
    "bases",
    multiple=True,
    metavar="[NAME=]IMAGE",
    help="The image that the factory put on the device; several, each with its component's name.",
)
@click.option("--base-sequence", type=click.IntRange(min=0), help="The release that it is.")
@click.option("--base-version", help="What people call that release.")
@json_option
def enrol_device(
    *,
    root: Path,
    provisioning: Path,
    serial: str,
    algorithm: str,
    token: str | None,
    bases: tuple[str, ...],
    base_sequence: int | None,
    base_version: str | None,
    as_json: bool,
) -> None:
    """Make this device's key and its enrolment request, and write what it trusts.

    The request goes to the maker, whose `lot enrol` puts the device on the board. The key never
    leaves the device.
    """
    if provisioning.stat().st_size > _PROVISIONING_BYTES:
        raise Misconfigured(f"{provisioning} is too large for a provisioning record")
    factory = None
    if bases:
        if base_sequence is None:
            raise Misconfigured("say which release the image is: --base-sequence N")
        factory = Base(images=_images(bases), sequence=base_sequence, version=base_version or "")
    elif base_sequence is not None or base_version is not None:
        raise Misconfigured("--base-sequence and --base-version go with --base IMAGE")
    record = provisioning.read_bytes()
    try:
        believe_factory(record)
    except Malformed as error:
        raise Malformed(
            f"{provisioning} is no provisioning record ({error}): the maker writes one by "
            "`fieldpost class trust`"
        ) from error
    made = enrol(
        Home(root),
        provisioning=record,
        serial=serial,
        algorithm=_ALGORITHMS[algorithm],
        make_key=None if token is None else _key_in_token(token, serial),
        base=factory,
    )
    show(
        {
            "device": format_device_id(made.device),
            "device_id": made.device.hex(),
            "class": made.class_id.hex(),
            "board": made.board,
            "request": str(made.request),
        },
        as_json=as_json,
        title="Device set up",
    )
    note(f"next: the maker enrols {made.request.name} with `fieldpost lot enrol`", as_json=as_json)


def _images(bases: tuple[str, ...]) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for text in bases:
        name, separator, path = text.rpartition("=")
        if not separator:
            name = name_of(ONLY)
        parse_name(name)
        if name in images:
            raise Misconfigured(f"the component {name} was given twice: --base NAME=IMAGE")
        images[name] = Path(path)
        if not images[name].is_file():
            raise Misconfigured(f"there is no image {path}: --base [NAME=]IMAGE")
    if len(images) > MAX_COMPONENTS:
        raise Misconfigured(f"{len(images)} images; a release has at most {MAX_COMPONENTS}")
    return images


def _key_in_token(uri: str, serial: str) -> Callable[[Algorithm], str]:
    """What finds or makes this device's key in its secure element; the URI that names it."""
    from fieldpost.signers.pkcs11_uri import parse_token_uri
    from fieldpost.signers.tokens import KeyMaker

    parsed = parse_token_uri(uri)
    if parsed.names_key:
        return lambda _: parsed.format()
    maker = KeyMaker.on(uri)
    return lambda algorithm: maker.make(algorithm, f"fieldpost device {serial}")


@click.command()
@device_home_option
@click.option("--need-clock", is_flag=True, help="Fail where the clock cannot be right.")
@click.option("--online", is_flag=True, help="Ask the board for one check-in, too.")
@json_option
def selftest(*, root: Path, need_clock: bool, online: bool, as_json: bool) -> None:
    """Check a device at the end of the factory line: key, request, provisioning, slot, clock.

    Ends with 0 if the device may leave, with 1 if not.
    """
    world = World(emit=lambda *_: None)
    checks = run_selftest(Home(root), world, needs_clock=need_clock, asks_board=online)
    fit = is_fit(checks)
    if as_json:
        show({"fit": fit, "checks": [asdict(check) for check in checks]}, as_json=True)
    else:
        for check in checks:
            word = "ok" if check.passed else "FAILED" if check.needed else "none"
            click.echo(printable(f"  {check.name:<14}{word:<8}{check.detail}"))
        click.echo("fit to leave" if fit else "NOT fit to leave")
    if not fit:
        sys.exit(UNFIT)


commands = (enrol_device, selftest)
