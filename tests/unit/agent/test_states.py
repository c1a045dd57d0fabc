# SPDX-License-Identifier: Apache-2.0
"""The agent's table is whole, and nobody gets stuck in it."""

import pytest

from fieldpost.agent.states import (
    ACTING,
    IMPOSSIBLE,
    TRANSITIONS,
    Do,
    Event,
    State,
    draw,
    step,
)

BOOTS = (Event.BOOTED, Event.BOOTED_ON_TRIAL, Event.BOOTED_AFTER_REVERT)


def test_every_pair_is_in_the_table_or_declared_impossible_and_never_both() -> None:
    pairs = {(state, event) for state in State for event in Event}
    assert pairs == TRANSITIONS.keys() | IMPOSSIBLE
    assert not TRANSITIONS.keys() & IMPOSSIBLE


@pytest.mark.parametrize("state", State)
def test_every_state_can_reach_idle(state: State) -> None:
    reached = {state}
    while True:
        more = {target for (source, _), (target, _) in TRANSITIONS.items() if source in reached}
        if more <= reached:
            break
        reached |= more
    assert State.IDLE in reached


@pytest.mark.parametrize("state", State)
def test_a_power_cut_in_any_state_is_followed_by_a_boot_that_the_table_knows(state: State) -> None:
    assert all((state, boot) in TRANSITIONS for boot in BOOTS)


def test_only_the_last_effect_acts_on_the_world() -> None:
    for _, effects in TRANSITIONS.values():
        assert not set(effects[:-1]) & ACTING


def test_only_a_healthy_image_that_checked_in_is_confirmed() -> None:
    confirming = [pair for pair, (_, effects) in TRANSITIONS.items() if Do.CONFIRM in effects]
    assert confirming == [(State.PROVING, Event.CHECKED_IN)]
    into = [pair for pair, (target, _) in TRANSITIONS.items() if target is State.PROVING]
    assert into == [(State.TRIAL, Event.HEALTHY)]


def test_only_a_failed_health_check_counts_against_an_image() -> None:
    counted = [pair for pair, (_, effects) in TRANSITIONS.items() if Do.COUNT_FAILURE in effects]
    assert counted == [(State.TRIAL, Event.UNHEALTHY)]


def test_nothing_is_fetched_or_tried_while_frozen() -> None:
    performed = {
        effect
        for (state, _), (_, effects) in TRANSITIONS.items()
        if state is State.FROZEN
        for effect in effects
    }
    assert performed == {Do.KEEP_EVIDENCE, Do.REVERT}


def test_only_a_person_ends_a_freeze() -> None:
    leaving = [
        event
        for (state, event), (target, _) in TRANSITIONS.items()
        if state is State.FROZEN and target is not State.FROZEN
    ]
    assert leaving == [Event.RELEASED]


def test_an_impossible_pair_is_a_bug_and_says_so() -> None:
    with pytest.raises(AssertionError, match="confirmed cannot happen while idle"):
        step(State.IDLE, Event.CONFIRMED)


def test_the_drawing_has_every_transition() -> None:
    drawing = draw()
    assert drawing.count("-->") == len(TRANSITIONS) + 1
    assert "trial --> proving: healthy / check-in" in drawing
