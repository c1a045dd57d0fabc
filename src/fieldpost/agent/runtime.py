# SPDX-License-Identifier: Apache-2.0
"""The agent at work: what it does in each state of its table.

All decisions stand in `states` (what follows what), `trust` (what is believed) and `bookkeeping`
(what is recorded); here they meet network, slots and disk. A process may end at any moment: the
next one calls `start` and goes on from what is on the disk.
"""

from dataclasses import replace
from typing import Final, NoReturn

from fieldpost.agent.checkins import CheckIns
from fieldpost.agent.config import Config, load_config
from fieldpost.agent.correspondence import Correspondent
from fieldpost.agent.health import run_health_check
from fieldpost.agent.home import Home
from fieldpost.agent.installing import Obtain, install, obtain_from_file, obtain_from_network
from fieldpost.agent.machine import hex_of, words_of
from fieldpost.agent.memory import Memory
from fieldpost.agent.offline import OfflineReader, OfflineUpdate
from fieldpost.agent.permission import Hindrance, Permission
from fieldpost.agent.plan import Plan
from fieldpost.agent.reporting import Reporter
from fieldpost.agent.slots.base import Boot, Slots
from fieldpost.agent.states import Do, Event, State
from fieldpost.agent.trial import await_check_in
from fieldpost.agent.world import World
from fieldpost.errors import Conflict, FieldpostError, Misbehaviour, Misconfigured, Untrusted
from fieldpost.identity.outcome import Outcome
from fieldpost.records.head import Offer

_BOOTS: Final = {
    Boot.CONFIRMED: Event.BOOTED,
    Boot.TRIAL: Event.BOOTED_ON_TRIAL,
    Boot.REVERTED: Event.BOOTED_AFTER_REVERT,
}
_OUTCOMES: Final = {"": Outcome.CHECKED_IN, "stale": Outcome.STALE, "resting": Outcome.POSTPONED}


class Agent(Correspondent):
    """One device's agent."""

    def __init__(
        self,
        *,
        home: Home,
        config: Config,
        memory: Memory,
        slots: Slots,
        checkins: CheckIns,
        reporter: Reporter,
        world: World,
    ) -> None:
        super().__init__(
            home=home,
            memory=memory,
            slots=slots,
            checkins=checkins,
            reporter=reporter,
            world=world,
        )
        self._config = config
        self._permission = Permission(config=config, home=home, world=world)
        self._plan: Plan | None = None

    # --- one life ---

    def start(self) -> Boot:
        """Once, first: find out what booted, and finish what was under way.

        May not return: a trial that proves nothing is followed by a boot of the image before.
        """
        self._checkins.use_addresses(self.memory)
        boot = self._slots.start()
        lost = boot is Boot.REVERTED and self.memory.state is not State.REVERTING
        reason = "the trial ended before it was confirmed" if lost else self.memory.reason
        self.memory = replace(self.memory, boot_count=self.memory.boot_count + 1, reason=reason)
        self._save()
        self._feed(_BOOTS[boot])
        return boot

    def check_in(self) -> None:
        """One check-in, and what follows from it. May not return: a new image is booted.

        Raises Untrusted and Misbehaviour with the reason why nothing was installed, Unavailable.
        """
        self._failure = None
        self._follow_channel()
        outcome, reason = Outcome.CHECKED_IN, ""
        try:
            outcome, reason = self._look()
        except Misbehaviour as found:
            self._failure = found
            reason = words_of(found)
            self.memory = replace(self.memory, reason=reason)
            self._feed(Event.MISBEHAVED)
        except FieldpostError as error:
            self._failure = error
            reason = words_of(error)
            self.memory = replace(self.memory, reason=reason)
            if self._checkins.is_too_old(self.memory):
                outcome = Outcome.STALE
            elif self.memory.told is None:
                # Nothing to say that the next check-in will not say better.
                raise
        self.report(outcome, reason)
        if self._failure is not None:
            raise self._failure

    def _follow_channel(self) -> None:
        """The owner may have chosen another channel; a file half edited changes nothing."""
        try:
            channels = self._checkins.provisioning.channels
            self._checkins.channel = load_config(self._home.config, channels=channels).channel
        except Misconfigured as error:
            self._tell("misconfigured", detail=str(error))

    def _look(self) -> tuple[Outcome, str]:
        """Check in and install what is offered; the outcome to report, and why."""
        verified = self._ask()
        self._feed(Event.CHECKED_IN)
        self._learn_lot()
        if self.memory.state is State.FROZEN:
            self._failure = Untrusted("frozen", self.memory.reason)
            return Outcome.CHECKED_IN, f"frozen: {self.memory.reason}"
        decision = self._checkins.decide(self.memory, verified)
        if decision.why:
            self._failure = Untrusted(decision.why, "nothing is installed")
            self.memory = replace(self.memory, reason=decision.why)
            return _OUTCOMES.get(decision.why, Outcome.CHECKED_IN), decision.why
        if decision.offer is None or verified.head is None:
            return Outcome.CHECKED_IN, ""
        hindrance = self._find_hindrance(decision.offer)
        if hindrance is not None:
            outcome, reason = hindrance
            self._tell(str(outcome), sequence=decision.offer.sequence, reason=reason)
            return hindrance
        self._take(decision.offer, verified.head.change_count)
        return Outcome.CHECKED_IN, words_of(self._failure)

    def _find_hindrance(self, offer: Offer) -> Hindrance | None:
        now = self._checkins.now(self.memory)
        before = self.memory.pending
        self.memory = self._permission.put_off(self.memory, offer, now=now)
        if self.memory.pending != before:
            # Otherwise every reboot would begin the time anew that the offer allows.
            self._save()
        return self._permission.find_hindrance(self.memory, offer, now=now)

    def apply(self, update: OfflineUpdate) -> None:
        """As `check_in`, with what the file holds alone: the network is not asked.

        Raises as `check_in`, Conflict during another update.
        """
        if self.memory.state not in (State.IDLE, State.FROZEN):
            raise Conflict(f"an update is under way ({self.memory.state})")
        self._offline = update
        self._checkins.board = OfflineReader(update.bundle)
        self.check_in()

    def _take(self, offer: Offer, change_count: int) -> None:
        plan = self._checkins.plan(self.memory, offer, change_count=change_count)
        staged = replace(plan.staged, offline=self._offline is not None)
        release = staged.release
        self._slots.check_fits(release)
        self._tell("offer", sequence=release.sequence, version=release.version, size=release.size)
        self._plan = plan
        self.memory = replace(self.memory, staged=staged)
        self._feed(Event.OFFERED)

    def release(self) -> None:
        """A person looked at the evidence: go on. Raises Conflict if nothing is frozen."""
        if self.memory.state is not State.FROZEN:
            raise Conflict("the agent is not frozen")
        self.memory = replace(self.memory, reason="")
        self._feed(Event.RELEASED)

    # --- acts ---

    def _act(self, effect: Do) -> Event:
        match effect:
            case Do.FETCH:
                return self._guarded(self._install, Event.INSTALLED)
            case Do.TRY:
                return self._guarded(self._try, Event.INTERRUPTED)
            case Do.CHECK_HEALTH:
                return self._check_health()
            case Do.CHECK_IN:
                return self._prove()
            case Do.CONFIRM:
                return self._guarded(self._slots.confirm, Event.CONFIRMED)
            case Do.REVERT:
                return self._revert()
            case _:
                raise AssertionError(f"{effect} only records")

    def _install(self) -> None:
        plan = self._plan
        if plan is None:
            raise AssertionError("only what was planned is fetched")
        install(plan, slots=self._slots, home=self._home, obtain=self._obtain())
        release = plan.release
        self._tell("staged", sequence=release.sequence, digests=hex_of(release.digests))

    def _obtain(self) -> Obtain:
        if self._offline is not None:
            return obtain_from_file(self._offline, self._home)
        boards = self._checkins.board.sources.urls
        return obtain_from_network(boards, home=self._home, config=self._config, world=self._world)

    def _try(self) -> NoReturn:
        self._slots.begin_trial()
        self._slots.reboot()

    def _check_health(self) -> Event:
        staged = self.memory.staged
        self._tell("trial", sequence=staged.sequence if staged else 0)
        ailment = run_health_check(
            self._config.health_check,
            environment=self._slots.environment(),
            timeout_s=self._config.health_timeout_s,
        )
        if not ailment:
            return Event.HEALTHY
        self.memory = replace(self.memory, reason=ailment)
        return Event.UNHEALTHY

    def _prove(self) -> Event:
        if self.memory.staged is not None and self.memory.staged.offline:
            return self._prove_again()
        try:
            failure = await_check_in(
                lambda: self._accept(self._checkins.check_in(self.memory)),
                world=self._world,
                within_s=self._config.trial_check_in_s,
                interval_s=self.interval_s,
            )
        except Misbehaviour as found:
            self._failure = found
            self.memory = replace(self.memory, reason=words_of(found))
            return Event.MISBEHAVED
        if failure is None:
            return Event.CHECKED_IN
        self._failure = failure
        words = f"no check-in was verified in time: {words_of(failure)}"
        self.memory = replace(self.memory, reason=words)
        return Event.GAVE_UP

    def _prove_again(self) -> Event:
        """Where there is no network: the check-in that offered this image, verified once more."""
        try:
            self._checkins.verify_again(self.memory)
        except FieldpostError as failure:
            self.memory = replace(self.memory, reason=words_of(failure))
            return Event.GAVE_UP
        return Event.CHECKED_IN

    def _revert(self) -> NoReturn:
        self._slots.revert()
        self._slots.reboot()
