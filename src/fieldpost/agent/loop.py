# SPDX-License-Identifier: Apache-2.0
"""Running an agent: put together from its directory, once or for ever.

    with open_agent(home, world=…, boot=…) as agent:    lock, provisioning, memory, slots, key
        run_once(agent, world, rebooted=…)              one check-in with all that follows
        run_forever(agent, world)                       or until the process is ended

`boot` executes the agent's program anew; what it was doing is read back from the disk.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import NoReturn

from fieldpost.agent import schedule
from fieldpost.agent.board import BoardReader
from fieldpost.agent.checkins import CheckIns
from fieldpost.agent.config import load_config
from fieldpost.agent.enrolment import load_device_key
from fieldpost.agent.home import Home
from fieldpost.agent.memory import load_memory
from fieldpost.agent.offline import OfflineUpdate
from fieldpost.agent.reporting import Reporter
from fieldpost.agent.runtime import Agent
from fieldpost.agent.slots.base import Boot
from fieldpost.agent.slots.choice import make_slots
from fieldpost.agent.states import State
from fieldpost.agent.world import World
from fieldpost.client.sources import Sources
from fieldpost.durable import remove_leftovers
from fieldpost.errors import FieldpostError, Malformed, Misconfigured, Unavailable, Untrusted
from fieldpost.identity.outcome import Outcome


@dataclass(frozen=True, slots=True)
class OneRun:
    """How a single run ended. `reverted` says why the image before is back, "" if it is not."""

    boot: Boot
    reverted: str


@contextmanager
def open_agent(home: Home, *, world: World, boot: Callable[[], NoReturn]) -> Iterator[Agent]:
    """The agent of a directory, which nobody else can open meanwhile.

    Raises Misconfigured, Conflict if another one runs there.
    """
    with home.locked(), closing(Sources(())) as board, closing(Sources(())) as fleet:
        yield _put_together(home, board=board, fleet=fleet, world=world, boot=boot)


def _put_together(
    home: Home, *, board: Sources, fleet: Sources, world: World, boot: Callable[[], NoReturn]
) -> Agent:
    try:
        _, provisioning = home.load_provisioning()
    except (Malformed, Untrusted) as error:
        raise Misconfigured(f"{home.provisioning}: {error}") from error
    config = load_config(home.config, channels=provisioning.channels)
    memory = load_memory(home.memory)
    signer = load_device_key(home.key)
    remove_leftovers(home.root, disk=home.disk)
    checkins = CheckIns(
        provisioning=provisioning,
        channel=config.channel,
        urls=config.urls,
        device=signer.public_key.thumbprint(),
        board=BoardReader(board),
        fleet=BoardReader(fleet),
        world=world,
    )
    return Agent(
        home=home,
        config=config,
        memory=memory,
        slots=make_slots(home.slots, config.commands, boot=boot, disk=home.disk),
        checkins=checkins,
        reporter=Reporter(fleet, signer),
        world=world,
    )


def run_once(
    agent: Agent, world: World, *, rebooted: bool, update: OfflineUpdate | None = None
) -> OneRun:
    """One check-in and what follows, a trial boot included: then `boot` does not return, and the
    program that it executes calls this with `rebooted`, which ends what the first one began. With
    `update` the file is asked instead of the network.

    Raises as `Agent.check_in`.
    """
    boot = agent.start()
    reverted = agent.memory.told
    failed = reverted is not None and reverted.outcome in (Outcome.REVERTED, Outcome.FAILED)
    why = reverted.reason or "unknown" if reverted is not None and failed else ""
    if rebooted:
        agent.report(Outcome.CHECKED_IN)
        return OneRun(boot, why)
    before = agent.memory
    try:
        if update is not None:
            agent.apply(update)
        else:
            agent.check_in()
    except FieldpostError as error:
        tell_failure(world, error)
        raise
    finally:
        agent.save_if_changed(before)
    return OneRun(boot, "")


def run_forever(agent: Agent, world: World) -> NoReturn:
    """Check in at the head's interval until the process is ended.

    Failures are told and retried with back-off. A disk that fails in the middle of an update ends
    the program with Unavailable; whoever starts it again lets it go on from what was saved.
    """
    agent.start()
    if agent.memory.told is not None:
        agent.report(Outcome.CHECKED_IN)
    try:
        _check_in_for_ever(agent, world)
    except (SystemExit, KeyboardInterrupt):
        agent.end()
        raise


def _check_in_for_ever(agent: Agent, world: World) -> NoReturn:
    failures = 0
    while True:
        asked: int | None = None
        try:
            agent.check_in()
            failures = 0
        except FieldpostError as error:
            tell_failure(world, error)
            if agent.memory.state not in (State.IDLE, State.FROZEN):
                raise
            failures += 1
            asked = error.retry_after_s if isinstance(error, Unavailable) else None
        if failures and agent.memory.state is not State.FROZEN:
            wait = schedule.next_retry_s(
                failures,
                interval_s=agent.interval_s,
                chance=world.chance(),
                retry_after_s=asked,
            )
        else:
            wait = schedule.next_check_in_s(agent.interval_s, chance=world.chance())
        world.pause(wait)


def tell_failure(world: World, error: FieldpostError) -> None:
    """`refused` with a reason where something was not believed, else `unavailable`."""
    if isinstance(error, Untrusted):
        world.emit("refused", {"reason": error.reason, "detail": error.detail})
    else:
        world.emit("unavailable", {"detail": str(error)})
