# SPDX-License-Identifier: Apache-2.0
"""`fieldpost agent`: the program that runs on a device."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click

from fieldpost.agent.channel import change_channel
from fieldpost.agent.enrolment import load_device_key
from fieldpost.agent.home import Home
from fieldpost.agent.leaving import MOST_LINKS_BYTES, read_links
from fieldpost.agent.loop import open_agent, run_forever, run_once
from fieldpost.agent.memory import load_memory
from fieldpost.agent.offline import OfflineUpdate
from fieldpost.agent.permission import postpone
from fieldpost.agent.status import read_status
from fieldpost.agent.world import Facts, World
from fieldpost.cli.agent_home import device_home_option
from fieldpost.cli.console import json_option, moment, note, show
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.identity.challenge import sign_challenge
from fieldpost.identity.leaf import format_device_id

F = TypeVar("F", bound=Callable[..., Any])
REVERTED: Final = 1


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


@command.command()
@device_home_option
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
@device_home_option
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
@device_home_option
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
@device_home_option
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
        for name in ("components", "failed"):
            facts[name] = _lines(facts[name])
    show(facts, as_json=as_json, title="Device")


def _lines(rows: object) -> list[str] | None:
    """Rows of facts for people: their values, side by side."""
    if not isinstance(rows, list) or not rows:
        return None
    return [" ".join(str(value) for value in row.values()) for row in rows]


@command.command()
@device_home_option
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
@device_home_option
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
@device_home_option
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


@command.command(name="postpone")
@device_home_option
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
@device_home_option
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
