# SPDX-License-Identifier: Apache-2.0
"""The effects that only record, as changes of memory. Pure: saved together with the new state."""

from dataclasses import replace

from fieldpost.agent.memory import Memory, Told
from fieldpost.agent.schedule import rest_s
from fieldpost.agent.states import Do
from fieldpost.agent.trust import TRIES
from fieldpost.identity.outcome import Outcome


def record(effect: Do, memory: Memory, *, clock: int, interval_s: int, most_s: int) -> Memory:
    """The memory in which `effect` is recorded. Times in (Unix) seconds."""
    staged = memory.staged
    if staged is None:
        # A trial of which nothing is remembered: there is nothing to count or to tell.
        return memory
    match effect:
        case Do.COUNT_FAILURE:
            return memory.with_failure(staged.manifest, staged.change_count)
        case Do.BACK_OFF:
            lost = memory.lost_trials + 1
            rest = rest_s(lost, interval_s=interval_s, most_s=most_s)
            return replace(memory, lost_trials=lost, install_after=clock + rest)
        case Do.ADOPT:
            # Only upwards, whatever happened: the running sequence is the floor of every offer.
            running = max(memory.running, staged.sequence)
            return replace(memory, running=running, lost_trials=0, install_after=0, reason="")
        case Do.TELL_CONFIRMED:
            outcome = Outcome.CONFIRMED
        case Do.TELL_REVERTED:
            spent = memory.tries(staged.manifest, staged.change_count) >= TRIES
            outcome = Outcome.FAILED if spent else Outcome.REVERTED
        case _:
            return memory
    told = Told(
        outcome=outcome,
        reason=memory.reason if outcome is not Outcome.CONFIRMED else "",
        sequence=staged.sequence,
        digests=staged.release.digests,
    )
    return replace(memory, told=told)


def is_resting(memory: Memory, *, clock: int, most_s: int) -> bool:
    """Whether an image whose trials proved nothing is still left alone.

    A time further away than any rest comes from another clock and does not count.
    """
    return clock < memory.install_after <= clock + most_s
