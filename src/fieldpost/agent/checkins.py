# SPDX-License-Identifier: Apache-2.0
"""Check-ins of one device: asked for, verified, remembered, and turned into a plan.

Everything here takes the memory and gives a new one or a decision; saving and acting are the
runtime's.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from fieldpost.agent import bookkeeping, schedule, trust
from fieldpost.agent.board import Reader, Standpoint
from fieldpost.agent.membership import fetch_membership
from fieldpost.agent.memory import Memory
from fieldpost.agent.plan import Plan, make_plan
from fieldpost.agent.world import World
from fieldpost.checkin.belief import Belief
from fieldpost.checkin.freshness import trusted_clock
from fieldpost.checkin.verify import Verified
from fieldpost.client.sources import spread
from fieldpost.records.head import Head, Offer
from fieldpost.records.provisioning import ProvisioningRecord

_DAY_S: Final = 86_400


class CheckIns:
    """The looking side of an agent. `urls` are its owner's, instead of the records' own; the
    `channel` may change between check-ins."""

    def __init__(
        self,
        *,
        provisioning: ProvisioningRecord,
        channel: str,
        urls: Sequence[str],
        device: bytes,
        board: Reader,
        fleet: Reader,
        world: World,
    ) -> None:
        self.provisioning = provisioning
        self.board = board
        self.fleet = fleet
        self.channel = channel
        self._urls = tuple(urls)
        self._device = device
        self._world = world
        # T + powered time = uptime + this; None before a check-in was accepted on this board.
        self._ahead_s: float | None = None
        self._began_at = world.uptime()

    def use_addresses(self, memory: Memory) -> None:
        """Ask where the records say from now on, in an order of the device's own, or in that of its
        owner. The maker's report addresses take reports."""
        maker = memory.belief.maker_view()
        policy_urls = spread(maker.policy.urls, self._device)
        urls = self._urls or policy_urls
        if memory.belief.board != self.provisioning.board:
            # What an owner chose instead of the first board's addresses may not know the next.
            urls = (*urls, *policy_urls)
        elif not self._urls:
            urls = (*urls, *spread(self.provisioning.urls, self._device))
        self.board.sources.replace(urls)
        self.fleet.sources.replace(spread(maker.report_urls, self._device) or urls)

    def check_in(self, memory: Memory) -> Verified:
        """A verified check-in. Raises Untrusted, Misbehaviour, Unavailable."""
        return self.board.check_in(
            self._standpoint(memory),
            class_id=self.provisioning.class_id,
            channel=self.channel,
            is_fresh=lambda verified: self._is_fresh(memory.belief, verified),
        )

    def _is_fresh(self, before: Belief, verified: Verified) -> bool:
        """Whether T is within max_age, as far as can be known; a move of boards always is."""
        if verified.moved_board:
            return True
        passed_s = int(self._lead_s(before) + self._world.uptime() - verified.timestamp)
        return not verified.stale and not trust.is_too_old(
            verified.timestamp,
            clock=self._world.clock(),
            least_time=self.provisioning.least_time,
            powered_s=max(0, passed_s),
            max_age_s=verified.belief.policy.max_age_s,
        )

    def verify_again(self, memory: Memory) -> Verified:
        """The last accepted check-in, verified anew. Raises Untrusted, Malformed."""
        standpoint = self._standpoint(memory)
        return trust.judge_check_in(
            standpoint.belief,
            memory.belief.bundle or b"",
            class_id=self.provisioning.class_id,
            channel=self.channel,
            now=standpoint.now,
            least_time=standpoint.least_time,
            algorithms=standpoint.algorithms,
        )

    def _standpoint(self, memory: Memory) -> Standpoint:
        return Standpoint(
            belief=memory.belief,
            now=self._world.clock(),
            least_time=self.provisioning.least_time,
            algorithms=self.provisioning.limits.algorithms,
        )

    def accept(self, memory: Memory, verified: Verified) -> tuple[Memory, bool]:
        """The memory that holds what was verified, and whether it must be saved now.

        Saved are a chain that moved and the first check-in; else at most daily, for the flash.
        """
        self._note_time(memory.belief, verified.belief)
        accepted = replace(memory, belief=verified.belief)
        self.use_addresses(accepted)
        first = memory.belief.root is None
        due = not 0 <= self._world.clock() - memory.saved_at < _DAY_S
        return accepted, verified.moved or first or due

    def move(self, memory: Memory) -> None:
        """The maker's links were followed without a bundle: ask, and count time, where they lead.

        What was shown before no longer says what time it is on another board.
        """
        if memory.belief.root is None:
            self._ahead_s, self._began_at = None, self._world.uptime()
        self.use_addresses(memory)

    def interval_s(self, head: Head | None) -> int:
        """The head's interval within the provisioned bounds."""
        bounds = self.provisioning
        asked = bounds.least_interval_s if head is None else head.interval_s
        return schedule.clamp(asked, least=bounds.least_interval_s, most=bounds.most_interval_s)

    def is_too_old(self, memory: Memory) -> bool:
        """Whether no accepted check-in is within the policy's max_age.

        Before the first one on a board there is no T, so powered time alone counts.
        """
        belief = memory.belief
        powered_s = int(self._lead_s(belief) + self._world.uptime() - belief.timestamp)
        if belief.root is None:
            return powered_s > belief.policy.max_age_s
        return trust.is_too_old(
            belief.timestamp,
            clock=self._world.clock(),
            least_time=self.provisioning.least_time,
            powered_s=powered_s,
            max_age_s=belief.policy.max_age_s,
        )

    def _note_time(self, before: Belief, after: Belief) -> None:
        if after.board != before.board:
            self._ahead_s, self._began_at = None, self._world.uptime()
            return
        # The lower bound of now never falls: who replays what was signed before wins no time. But a
        # larger board with a T that much earlier shows that the cosigners' clocks were wrong.
        shown = after.timestamp - self._world.uptime()
        corrected = after.size > before.size and after.timestamp < before.timestamp - _DAY_S
        anew = before.root is None or corrected
        self._ahead_s = shown if anew else max(self._lead_s(before), shown)

    def _lead_s(self, belief: Belief) -> float:
        return belief.timestamp - self._began_at if self._ahead_s is None else self._ahead_s

    def decide(self, memory: Memory, verified: Verified) -> trust.Decision:
        """Which offer to take; see `trust.decide`."""
        most_s = self.provisioning.most_interval_s
        return trust.decide(
            verified,
            running=memory.running,
            device=self._device,
            lot=memory.lot.lot if memory.lot else None,
            stale=self.is_too_old(memory),
            tries=memory.tries,
            resting=bookkeeping.is_resting(memory, clock=self._world.clock(), most_s=most_s),
        )

    def now(self, memory: Memory) -> int:
        """Unix seconds: the clock where it can be one, and never below T + powered time."""
        belief = memory.belief
        least_time = self.provisioning.least_time
        clock = trusted_clock(
            self._world.clock(), timestamp=belief.timestamp, least_time=least_time
        )
        return max(clock or 0, int(self._lead_s(belief) + self._world.uptime()))

    def plan(self, memory: Memory, offer: Offer, *, change_count: int) -> Plan:
        """What to install for an offer. Raises as `make_plan`."""
        return make_plan(
            self.board,
            self._standpoint(memory),
            offer,
            class_id=self.provisioning.class_id,
            limits=self.provisioning.limits,
            change_count=change_count,
        )

    def learn_lot(self, memory: Memory) -> Memory:
        """The memory with the device's place in its lot. Raises as `fetch_membership`."""
        lot = fetch_membership(
            self.fleet,
            self.board,
            self._standpoint(memory),
            device=self._device,
            class_id=self.provisioning.class_id,
        )
        return replace(memory, lot=lot)
