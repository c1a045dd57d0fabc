# SPDX-License-Identifier: Apache-2.0
"""`fieldpost agent`: the program that runs on a device."""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click

from fieldpost.agent.channel import change_channel
from fieldpost.agent.enrolment import Base, enrol, load_device_key
from fieldpost.agent.home import Home
from fieldpost.agent.leaving import MOST_LINKS_BYTES, read_links
from fieldpost.agent.loop import open_agent, run_forever, run_once
from fieldpost.agent.memory import load_memory
from fieldpost.agent.offline import OfflineUpdate
from fieldpost.agent.permission import postpone
from fieldpost.agent.selftest import is_fit, run_selftest
from fieldpost.agent.slots.base import ONLY, name_of
from fieldpost.agent.status import read_status
from fieldpost.agent.world import Facts, World
from fieldpost.cli.console import json_option, moment, note, printable, show
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.identity.challenge import sign_challenge
from fieldpost.identity.leaf import format_device_id
from fieldpost.keys import Algorithm

F = TypeVar("F", bound=Callable[..., Any])
_ALGORITHMS: Final = {"ed25519": Algorithm.ED25519, "p256": Algorithm.ESP256}
_PROVISIONING_BYTES: Final = 65_536
REVERTED: Final = 1
UNFIT: Final = 1


def _home_option(command: F) -> F:
    return click.option(
        "--home",
        "root",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="FIELDPOST_AGENT_HOME",
        required=True,
        help="Folder of this device: key, memory, slots, agent.toml.",
    )(command)


def _rebooted_option(command: F) -> F:
    # Set by the agent itself when it executes itself through the link: what boots carries on.
    return click.option("--rebooted", is_flag=True, hidden=True)(command)


@click.group(name="agent")
def command() -> None:
    """Run on a device: check in, verify, install, try, confirm or revert, report.

    \b
    fieldpost agent enrol --home DEVICE --provisioning bulb.prov --serial SN0001
    fieldpost agent run --home DEVICE

    What a device trusts comes from its provisioning record alone. This software is unaudited.
    """  # noqa: D301 - click wants the escape itself


def _key_in_token(uri: str, serial: str) -> Callable[[Algorithm], str]:
    """What finds or makes this device's key in its secure element; the URI that names it."""
    from fieldpost.signers.pkcs11_uri import parse_token_uri
    from fieldpost.signers.tokens import KeyMaker

    parsed = parse_token_uri(uri)
    if parsed.names_key:
        return lambda _: parsed.format()
    maker = KeyMaker.on(uri)
    return lambda algorithm: maker.make(algorithm, f"fieldpost device {serial}")


@command.command(name="enrol")
@_home_option
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
    made = enrol(
        Home(root),
        provisioning=provisioning.read_bytes(),
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
        if name in images:
            raise Misconfigured(f"the component {name} was given twice: --base NAME=IMAGE")
        images[name] = Path(path)
    return images


@command.command()
@_home_option
@_rebooted_option
@json_option
def once(*, root: Path, rebooted: bool, as_json: bool) -> None:
    """Check in once, and do all that follows: install, boot on trial, confirm or revert, report.

    Ends with 0 where all is well, 1 where a new image did not prove itself and the one before runs
    again, 3 where something was not believed, 75 where network or disk failed.
    """
    world = World(emit=_narrator(as_json=as_json))
    _end_politely()
    boot = _booter("once", root, as_json=as_json)
    with open_agent(Home(root), world=world, boot=boot) as agent:
        done = run_once(agent, world, rebooted=rebooted)
    if done.reverted:
        note(f"reverted: {done.reverted}; the image before runs", as_json=as_json)
        sys.exit(REVERTED)


@command.command()
@_home_option
@_rebooted_option
@json_option
def run(*, root: Path, rebooted: bool, as_json: bool) -> None:  # noqa: ARG001 - a loop goes on
    """Check in for ever, at the interval that the channel asks for, within provisioned bounds."""
    world = World(emit=_narrator(as_json=as_json))
    _end_politely()
    boot = _booter("run", root, as_json=as_json)
    with open_agent(Home(root), world=world, boot=boot) as agent:
        run_forever(agent, world)


@command.command()
@_home_option
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def apply(*, root: Path, file: Path, as_json: bool) -> None:
    """Update from FILE, which `fieldpost release export` wrote, without network.

    The file is believed no more than a server: everything is verified as online, conditions and
    rollback included. The new image verifies the same check-in again before it stays. Stop a
    running agent first. Exit codes are those of `once`.
    """
    update = OfflineUpdate.open(file)
    world = World(emit=_narrator(as_json=as_json))
    _end_politely()
    boot = _booter("once", root, as_json=as_json)
    with open_agent(Home(root), world=world, boot=boot) as agent:
        run_once(agent, world, rebooted=False, update=update)


@command.command()
@_home_option
@json_option
def status(*, root: Path, as_json: bool) -> None:
    """Show what runs, what is believed, and whether this device is enrolled.

    A device in no lot verifies and installs like any other; it cannot report as one of the fleet.
    """
    facts = read_status(Home(root))
    if not as_json:
        seconds = facts["time"]
        facts["time"] = moment(seconds) if isinstance(seconds, int) else None
        facts["enrolled"] = "yes" if facts["enrolled"] else "no: in no lot that it knows of"
        facts["failed"] = facts["failed"] or None
    show(facts, as_json=as_json, title="Device")


@command.command()
@_home_option
@json_option
def release(*, root: Path, as_json: bool) -> None:
    """Let a frozen agent go on, after you looked at its `evidence` folder.

    An agent freezes when it was shown two signed histories that cannot both be honest.
    """
    world = World(emit=_narrator(as_json=as_json))
    boot = _booter("once", root, as_json=as_json)
    with open_agent(Home(root), world=world, boot=boot) as agent:
        agent.release()
        show({"state": str(agent.memory.state)}, as_json=as_json, title="Released")


@command.command()
@_home_option
@click.argument("links", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def follow(*, root: Path, links: Path, as_json: bool) -> None:
    """Follow the maker's links in the file LINKS at once, also to another board.

    For a person at a device whose board is gone, with the file that the maker publishes at its link
    URLs. Every link must be signed by the maker's root, before and after; nothing else is asked.
    """
    if links.stat().st_size > MOST_LINKS_BYTES:
        raise Misconfigured(f"{links} is too large for a links file")
    entries = read_links(links.read_bytes())
    world = World(emit=_narrator(as_json=as_json))
    boot = _booter("once", root, as_json=as_json)
    with open_agent(Home(root), world=world, boot=boot) as agent:
        agent.follow(entries)


@command.command()
@_home_option
@click.option("--challenge", "challenge_hex", required=True, help="16 to 64 bytes in hex.")
@json_option
def prove(*, root: Path, challenge_hex: str, as_json: bool) -> None:
    """Sign a challenge, so that somebody can say that this unit is genuine.

    Whoever asks chooses the challenge anew each time, and takes the key from the unit's lot on the
    board, not from here. Works beside a running agent.
    """
    try:
        challenge = bytes.fromhex(challenge_hex)
    except ValueError as error:
        raise Malformed("the challenge is not written in hex") from error
    home = Home(root)
    signer = load_device_key(home.key)
    board = load_memory(home.memory).belief.board
    proof = sign_challenge(challenge, board=board, signer=signer)
    device = signer.public_key.thumbprint()
    facts = {"device": format_device_id(device), "device_id": device.hex(), "board": board}
    show(facts | {"proof": proof.hex()}, as_json=as_json, title="Proof")


@command.command()
@_home_option
@click.option("--need-clock", is_flag=True, help="Fail where the clock cannot be right.")
@click.option("--online", is_flag=True, help="Ask the board for one check-in, too.")
@json_option
def selftest(*, root: Path, need_clock: bool, online: bool, as_json: bool) -> None:
    """Check a device at the end of the factory line: key, request, provisioning, slot, clock.

    Ends with 0 if the device may leave, with 1 if not.
    """
    world = World(emit=_narrator(as_json=as_json))
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


@command.command(name="postpone")
@_home_option
@click.argument("seconds", type=click.IntRange(min=0))
@json_option
def put_off(*, root: Path, seconds: int, as_json: bool) -> None:
    """Put the offer at hand off by SECONDS, within what it allows; 0 installs it.

    A running agent takes it up at its next check-in. The time that an offer allows begins when the
    device first saw it, and postponing again does not lengthen it.
    """
    sequence, may_s = postpone(Home(root), seconds)
    facts = {"sequence": sequence, "seconds": seconds, "at_most": may_s}
    show(facts, as_json=as_json, title="Put off" if seconds else "To be installed")


@command.command()
@_home_option
@click.argument("name")
@json_option
def channel(*, root: Path, name: str, as_json: bool) -> None:
    """Follow the channel NAME from the next check-in on; the provisioning record says which may be.

    What runs is never replaced by an older release, whatever the new channel offers.
    """
    change_channel(Home(root), name)
    show({"channel": name}, as_json=as_json, title="Channel")


def _narrator(*, as_json: bool) -> Callable[[str, Facts], None]:
    def tell(event: str, facts: Facts) -> None:
        if as_json:
            line = json.dumps({"event": event, **facts})
        else:
            said = [
                f"{name} {_words(fact)}" for name, fact in facts.items() if fact not in (None, "")
            ]
            text = f"{event}: {', '.join(said)}" if said else event
            # Some of the words are a server's.
            line = "".join(letter if letter.isprintable() else "?" for letter in text)
        # A watcher that went away must not stop a device.
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except OSError:
            pass

    return tell


def _words(fact: object) -> str:
    return " and ".join(map(str, fact)) if isinstance(fact, list | tuple) else str(fact)


def _booter(mode: str, root: Path, *, as_json: bool) -> Callable[[], NoReturn]:
    """Executes this program anew, in this very process: all state is read back from the disk."""
    arguments = [sys.executable, "-m", "fieldpost.cli", "agent", mode, "--home", str(root)]
    arguments += ["--rebooted", *(["--json"] if as_json else [])]

    def boot() -> NoReturn:
        os.execv(sys.executable, arguments)  # noqa: S606 - no shell is wanted

    return boot


def _end_politely() -> None:
    def end(number: int, _: object) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)
