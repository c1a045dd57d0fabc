# SPDX-License-Identifier: Apache-2.0
"""What an effect records, and nothing else."""

from dataclasses import replace

import pytest

from fieldpost.agent.bookkeeping import is_resting, record
from fieldpost.agent.memory import Memory, Staged
from fieldpost.agent.states import ACTING, Do
from fieldpost.checkin.belief import believe
from fieldpost.identity.outcome import Outcome
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.images import image_of

BELIEF, _ = believe(PaperBoard().provisioning())
NOW, HOUR, DAY = 1_800_000_000, 3_600, 86_400
IMAGES = (image_of(b"application"), image_of(b"radio", (b"radio",)))
STAGED = Staged(sequence=10, version="1.10", manifest=b"m" * 32, images=IMAGES, change_count=4)
MEMORY = Memory(belief=BELIEF, running=9, staged=STAGED, reason="it was sick")


def after(effect: Do, memory: Memory = MEMORY) -> Memory:
    return record(effect, memory, clock=NOW, interval_s=HOUR, most_s=DAY)


def test_adopting_an_image_raises_the_running_sequence_and_never_lowers_it() -> None:
    assert after(Do.ADOPT).running == 10
    assert after(Do.ADOPT, replace(MEMORY, running=12)).running == 12


def test_a_reverted_release_is_reported_as_failed_once_its_tries_are_spent() -> None:
    memory = MEMORY
    outcomes = []
    for _ in range(3):
        memory = after(Do.TELL_REVERTED, after(Do.COUNT_FAILURE, memory))
        assert memory.told is not None
        outcomes.append(memory.told.outcome)
        assert (memory.told.sequence, memory.told.reason) == (10, "it was sick")
    assert outcomes == [Outcome.REVERTED, Outcome.REVERTED, Outcome.FAILED]


def test_a_confirmed_release_is_reported_without_old_reasons() -> None:
    told = after(Do.TELL_CONFIRMED).told
    assert told is not None
    assert (told.outcome, told.reason, told.digests) == (
        Outcome.CONFIRMED,
        "",
        (IMAGES[0].digest, IMAGES[1].digest),
    )


def test_lost_trials_rest_longer_each_time_and_at_most_the_longest_interval() -> None:
    memory = MEMORY
    rests = []
    for _ in range(8):
        memory = after(Do.BACK_OFF, memory)
        rests.append(memory.install_after - NOW)
    assert rests[:3] == [HOUR, 2 * HOUR, 4 * HOUR]
    assert rests[-1] == DAY
    assert memory.failed == ()


@pytest.mark.parametrize(
    ("clock", "resting"),
    [(NOW - 1, True), (NOW, False), (NOW + 1, False), (NOW - DAY - 1, False)],
    ids=["before", "at", "after", "another clock's"],
)
def test_a_rest_ends_and_does_not_survive_a_clock_that_was_wrong(clock: int, resting: bool) -> None:
    memory = replace(MEMORY, install_after=NOW)
    assert is_resting(memory, clock=clock, most_s=DAY) is resting


@pytest.mark.parametrize("effect", sorted(set(Do) - ACTING))
def test_nothing_is_recorded_about_a_trial_of_which_nothing_is_remembered(effect: Do) -> None:
    forgotten = replace(MEMORY, staged=None)
    assert after(effect, forgotten) == forgotten
