# SPDX-License-Identifier: Apache-2.0
"""The end of the factory line: is this device fit to leave? (docs/spec/identity.md)

Every check is made whatever the others say; nothing of what runs is changed. Clock and board are
told, and asked for only where the caller needs them, for many devices leave with neither.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Final, NoReturn

from fieldpost.agent.board import BoardReader, Standpoint
from fieldpost.agent.config import load_config
from fieldpost.agent.enrolment import load_device_key
from fieldpost.agent.home import Home
from fieldpost.agent.memory import load_memory
from fieldpost.agent.slots.choice import make_slots
from fieldpost.agent.world import World
from fieldpost.checkin.freshness import trusted_clock
from fieldpost.client.sources import Sources
from fieldpost.durable import make_dirs, remove, write_file
from fieldpost.errors import FieldpostError, Misconfigured
from fieldpost.identity.challenge import sign_challenge, verify_challenge
from fieldpost.identity.enrolment import MAX_REQUEST_BYTES, verify_request
from fieldpost.identity.leaf import format_device_id

_PROBE: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Check:
    """One check: whether it passed, what was seen, and whether the device may leave without it."""

    name: str
    passed: bool
    detail: str
    needed: bool = True


def run_selftest(
    home: Home, world: World, *, needs_clock: bool = False, asks_board: bool = False
) -> tuple[Check, ...]:
    """Every check, in order. Never raises for what is wrong with the device."""
    checks = [
        _check("provisioning", lambda: _check_provisioning(home)),
        _check("key", lambda: _check_key(home)),
        _check("request", lambda: _check_request(home)),
        _check("memory", lambda: f"running {load_memory(home.memory).running}"),
        _check("slot", lambda: _check_slot(home)),
        _check("clock", lambda: _check_clock(home, world), needed=needs_clock),
    ]
    if asks_board:
        checks.append(_check("board", lambda: _check_board(home, world)))
    return tuple(checks)


def is_fit(checks: tuple[Check, ...]) -> bool:
    """Whether everything that is needed passed."""
    return all(check.passed or not check.needed for check in checks)


def _check(name: str, look: Callable[[], str], *, needed: bool = True) -> Check:
    try:
        return Check(name, passed=True, detail=look(), needed=needed)
    except FieldpostError as error:
        return Check(name, passed=False, detail=str(error), needed=needed)


def _check_provisioning(home: Home) -> str:
    _, record = home.load_provisioning()
    load_config(home.config, channels=record.channels)
    return record.board


def _check_key(home: Home) -> str:
    """The key is there and signs what its public half verifies."""
    signer = load_device_key(home.key)
    board = load_memory(home.memory).belief.board
    proof = sign_challenge(_PROBE, board=board, signer=signer)
    verify_challenge(proof, challenge=_PROBE, board=board, key=signer.public_key)
    return format_device_id(signer.public_key.thumbprint())


def _check_request(home: Home) -> str:
    """The request that the factory collects is of this key and class."""
    device = load_device_key(home.key).public_key.thumbprint()
    _, record = home.load_provisioning()
    for path in sorted(home.root.glob("*.enrol")):
        if path.stat().st_size > MAX_REQUEST_BYTES:
            continue
        leaf = verify_request(path.read_bytes())
        if leaf.device == device and leaf.class_id == record.class_id:
            return path.name
    raise Misconfigured("no enrolment request of this device's key and class lies here")


def _check_slot(home: Home) -> str:
    def never() -> NoReturn:
        raise AssertionError("looking boots nothing")

    _, record = home.load_provisioning()
    config = load_config(home.config, channels=record.channels)
    make_dirs(home.slots, disk=home.disk)
    probe = home.slots / "probe"
    write_file(probe, _PROBE, disk=home.disk)
    remove(probe, disk=home.disk)
    slots = make_slots(home.slots, config.commands, boot=never, disk=home.disk)
    image = slots.running()
    slot = slots.environment()["FIELDPOST_SLOT"]
    return f"{slot or 'no slot'} holds {image.version or image.sequence}" if image else "empty"


def _check_clock(home: Home, world: World) -> str:
    _, record = home.load_provisioning()
    now = world.clock()
    belief = load_memory(home.memory).belief
    if trusted_clock(now, timestamp=belief.timestamp, least_time=record.least_time) is None:
        raise Misconfigured(f"the clock says {now}, which is before this device was provisioned")
    return str(now)


def _check_board(home: Home, world: World) -> str:
    """One verified check-in, of which nothing is kept."""
    _, record = home.load_provisioning()
    config = load_config(home.config, channels=record.channels)
    belief = load_memory(home.memory).belief
    urls = config.urls or (*belief.policy.urls, *record.urls)
    with closing(Sources(urls)) as sources:
        verified = BoardReader(sources).check_in(
            Standpoint(
                belief=belief,
                now=world.clock(),
                least_time=record.least_time,
                algorithms=record.limits.algorithms,
            ),
            class_id=record.class_id,
            channel=config.channel,
            is_fresh=lambda verified: not verified.stale,
        )
    if verified.stale:
        raise Misconfigured("the board shows nothing that is fresh by this device's clock")
    return f"size {verified.belief.size}"
