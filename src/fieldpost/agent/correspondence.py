# SPDX-License-Identifier: Apache-2.0
"""What an agent hears from boards and tells its maker: accepted check-ins, its lot, reports.

A check-in may lead to the next board, because this one says so or because it is dead; whatever is
accepted is remembered, and saved where the flash can bear it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from fieldpost.agent.checkins import CheckIns
from fieldpost.agent.home import Home
from fieldpost.agent.isolation import Isolation
from fieldpost.agent.leaving import WayOut
from fieldpost.agent.machine import Machine
from fieldpost.agent.memory import Memory
from fieldpost.agent.offline import OfflineUpdate
from fieldpost.agent.reporting import Delivery, Reporter, of_running
from fieldpost.agent.slots.base import Slots
from fieldpost.agent.states import State
from fieldpost.agent.world import World
from fieldpost.checkin.verify import Verified
from fieldpost.errors import Conflict, FieldpostError, Misbehaviour, NotFound, Untrusted
from fieldpost.identity.outcome import Outcome

# Boards that lead to the next one, in one check-in.
_MOST_MOVES: Final = 4


class Correspondent(Machine):
    """A machine that asks boards and reports. `_offline` is the file that is asked instead."""

    def __init__(
        self,
        *,
        home: Home,
        memory: Memory,
        slots: Slots,
        checkins: CheckIns,
        reporter: Reporter,
        world: World,
    ) -> None:
        provisioning = checkins.provisioning
        super().__init__(
            home=home,
            memory=memory,
            world=world,
            interval_s=checkins.interval_s(None),
            most_interval_s=provisioning.most_interval_s,
        )
        self._slots = slots
        self._checkins = checkins
        self._reporter = reporter
        self._isolation = Isolation(
            world=world, least_time=provisioning.least_time, isolated_s=memory.isolated_s
        )
        self._way_out = WayOut(world=world, algorithms=provisioning.limits.algorithms)
        self._offline: OfflineUpdate | None = None

    # --- hearing ---

    def _ask(self) -> Verified:
        """An accepted check-in: on the next board, where this one leads there or is dead."""
        if self._offline is not None:
            verified = self._checkins.check_in(self.memory)
            self._accept(verified)
            return verified
        for _ in range(_MOST_MOVES):
            try:
                verified = self._checkins.check_in(self.memory)
            except Misbehaviour:
                raise
            except FieldpostError:
                self._note_failure()
                if self._leave():
                    continue
                raise
            self._accept(verified)
            if verified.moved_board:
                self._tell("moved", board=self.memory.belief.board, by="the board")
            elif not self._leave():
                return verified
        raise Untrusted("moved-board", "every board leads to another")

    def _accept(self, verified: Verified) -> None:
        self.memory, save = self._checkins.accept(self.memory, verified)
        # What is genuine but old may come from a cache that outlived its board.
        is_old = not verified.moved_board and self._checkins.is_too_old(self.memory)
        note = self._isolation.note_failure if is_old else self._isolation.note_acceptable
        self.memory, due = note(self.memory)
        self.interval_s = self._checkins.interval_s(verified.head)
        belief = verified.belief
        self._tell(
            "checkin",
            size=belief.size,
            time=verified.timestamp,
            stale=verified.stale,
            moved=verified.moved,
        )
        if save or due:
            self._save()

    def _note_failure(self) -> None:
        self.memory, save = self._isolation.note_failure(self.memory)
        if save:
            self._save()

    def _learn_lot(self) -> None:
        if self.memory.lot is not None or self._offline is not None:
            return
        try:
            self.memory = self._checkins.learn_lot(self.memory)
        except Misbehaviour:
            raise
        except NotFound:
            self._tell("not-enrolled", detail="this device is in no lot that the fleet knows")
        except FieldpostError as error:
            self._tell("not-enrolled", detail=str(error))
        else:
            self._save()
            if self.memory.lot is not None:
                self._tell("enrolled", lot=self.memory.lot.lot.hex(), index=self.memory.lot.index)

    # --- leaving a board ---

    def follow(self, entries: Sequence[bytes]) -> None:
        """A person at the device hands the maker's links over: believe them at once.

        Raises MissingLinks where none is new, Untrusted, Malformed, Conflict during an update.
        """
        if self.memory.state not in (State.IDLE, State.FROZEN):
            raise Conflict(f"an update is under way ({self.memory.state}); try again after it")
        self._adopt(self._way_out.follow(self.memory, entries), by="a person")

    def _leave(self) -> bool:
        """Take the maker's own links, if grace is over and they could be had."""
        left = self._way_out.leave(self.memory)
        if left is None:
            return False
        self._adopt(left, by="grace")
        return True

    def _adopt(self, memory: Memory, *, by: str) -> None:
        self.memory, _ = self._isolation.note_acceptable(memory)
        self._checkins.move(self.memory)
        self._save()
        self._tell("moved", board=memory.belief.board, by=by)

    # --- telling ---

    def report(self, outcome: Outcome, reason: str = "") -> Delivery:
        """Send what waits, else this about what runs. Never raises for what others do."""
        told = self.memory.told
        if told is None:
            told = of_running(outcome, reason, self._slots.running(), self.memory.running)
        if self._offline is not None:
            return Delivery.WAITING
        delivery, words = self._reporter.send(self.memory, told)
        facts = {"outcome": str(told.outcome), "sequence": told.sequence}
        self._tell("report", delivery=str(delivery), detail=words, **facts)
        if delivery is not Delivery.WAITING:
            self._send_evidence()
        if self.memory.told is not None and delivery in (Delivery.SENT, Delivery.REFUSED):
            self.memory = replace(self.memory, told=None)
            self._save()
        return delivery

    def _send_evidence(self) -> None:
        """Hand over what proves that somebody lied, once; a person finds it here all the same."""
        for path, evidence in self._home.unsent_evidence():
            delivery, words = self._reporter.send_evidence(evidence)
            self._tell("evidence-sent", delivery=str(delivery), detail=words, file=path.name)
            if delivery is Delivery.WAITING:
                return
            self._home.note_sent(path)

    def end(self) -> None:
        """The agent ends in order: keep what only a power cut should cost."""
        self.memory, save = self._isolation.note_end(self.memory)
        if save:
            self._save()
