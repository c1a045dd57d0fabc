# SPDX-License-Identifier: Apache-2.0
"""Whether the device's owner, its power and the offer's own conditions let an update begin now.

Asked in this order, each time an offer could be taken: is it put off, is it within its window, is
there power, does the owner's `consent` command agree. What says no is reported to the maker.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

from fieldpost import cbor
from fieldpost.agent.commands import run_command
from fieldpost.agent.conditions import find_hindrance
from fieldpost.agent.config import Config
from fieldpost.agent.home import Home
from fieldpost.agent.memory import Memory, load_memory
from fieldpost.agent.postponement import consider, is_put_off
from fieldpost.agent.power import ask_power
from fieldpost.agent.world import Power, World
from fieldpost.durable import remove, write_file
from fieldpost.errors import Conflict, Malformed, Misconfigured, Unavailable
from fieldpost.identity.outcome import Outcome
from fieldpost.records.head import Offer

Hindrance = tuple[Outcome, str]
_MOST_WISH_BYTES: Final = 128


class Permission:
    """Asks whether an update may begin."""

    def __init__(self, *, config: Config, home: Home, world: World) -> None:
        self._config = config
        self._home = home
        self._world = world

    def put_off(self, memory: Memory, offer: Offer, *, now: int) -> Memory:
        """The memory of what may be put off, and until when. Takes what a person wished."""
        pending = consider(
            memory.pending,
            offer,
            now=now,
            default_s=self._config.postpone_s,
            wish_s=self._take_wish(offer.manifest),
        )
        return replace(memory, pending=pending)

    def find_hindrance(self, memory: Memory, offer: Offer, *, now: int) -> Hindrance | None:
        """What stands against installing `offer` now, as it is reported; None if nothing does."""
        if is_put_off(memory.pending, now=now):
            return Outcome.POSTPONED, "put off by the owner"
        conditions = offer.conditions
        power = Power()
        if conditions is not None and (conditions.battery_percent or conditions.external_power):
            try:
                power = self._power()
            except Unavailable as failure:
                return Outcome.LOW_POWER, str(failure)
        hindrance = find_hindrance(
            conditions, second_of_day=self._world.second_of_day(), power=power
        )
        return hindrance or self._ask_consent(offer)

    def _power(self) -> Power:
        if not self._config.power:
            return self._world.power()
        return ask_power(self._config.power, timeout_s=self._config.power_timeout_s)

    def _ask_consent(self, offer: Offer) -> Hindrance | None:
        if not self._config.consent:
            return None
        conditions = offer.conditions
        urgency = None if conditions is None else conditions.urgency
        downtime_s = None if conditions is None else conditions.downtime_s
        environment = {
            "FIELDPOST_SEQUENCE": str(offer.sequence),
            "FIELDPOST_URGENCY": "" if urgency is None else str(urgency),
            "FIELDPOST_DOWNTIME_S": "" if downtime_s is None else str(downtime_s),
        }
        try:
            ran = run_command(
                self._config.consent,
                what="the consent command",
                environment=environment,
                timeout_s=self._config.consent_timeout_s,
            )
        except Unavailable as failure:
            return Outcome.DECLINED, str(failure)
        if ran.status:
            return Outcome.DECLINED, f"the consent command ended with status {ran.status}"
        return None

    def _take_wish(self, manifest: bytes) -> int | None:
        """What a person wished about this offer; a wish is taken once, about another it is void."""
        path = wish_of(self._home)
        try:
            data = path.read_bytes()[:_MOST_WISH_BYTES]
        except OSError:
            return None
        remove(path, disk=self._home.disk)
        try:
            match cbor.decode(data):
                case (bytes(about), int(seconds)) if about == manifest and seconds >= 0:
                    return seconds
        except Malformed:
            pass
        return None


def wish_of(home: Home) -> Path:
    """Where `postpone` leaves its wish for the agent, which may be running: [manifest, seconds]."""
    return home.root / "postpone.cbor"


def postpone(home: Home, seconds: int) -> tuple[int, int]:
    """Wish that the offer at hand be put off by `seconds` from the next check-in on (0: no longer).

    Returns the offer's sequence and how long it may be put off in all. Raises Conflict where no
    offer waits that may be put off, Misconfigured for more than the offer allows, Unavailable.
    """
    memory = load_memory(home.memory)
    pending = memory.pending
    if pending is None or pending.sequence <= memory.running:
        raise Conflict("no offer waits that may be put off")
    if seconds > pending.may_s:
        raise Misconfigured(f"release {pending.sequence} may be put off by {pending.may_s} s")
    write_file(wish_of(home), cbor.encode([pending.manifest, seconds]), disk=home.disk)
    return pending.sequence, pending.may_s
