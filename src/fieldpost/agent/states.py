# SPDX-License-Identifier: Apache-2.0
"""The agent's life as one table: (state, event) → (next state, effects). Pure.

Everything that decides what happens next stands here: staged → trial → confirmed or reverted.
Effects are named, not called. Those that only record go into one save with the new state; the
last one may act, after the save, and answers with the next event. Each may be repeated safely.
A pair that cannot occur is listed in IMPOSSIBLE, so that every pair was thought of. Only a health
check and a verified check-in confirm an image; a trial that dies finds the image before put back.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """What the agent is in the middle of. Saved before it is acted on."""

    IDLE = "idle"
    """The confirmed image runs, nothing is under way."""
    FETCHING = "fetching"
    """A verified offer is being downloaded into the other slot."""
    STAGED = "staged"
    """The other slot holds a fully verified image, to be booted on trial."""
    TRIAL = "trial"
    """The new image runs on trial; its health is being checked."""
    PROVING = "proving"
    """The new image is healthy; it must still verify one check-in."""
    CONFIRMING = "confirming"
    """The new image has proven itself; the slots are told to keep it."""
    REVERTING = "reverting"
    """The image before is being put back."""
    FROZEN = "frozen"
    """Somebody signed two histories. What runs keeps running; a person must look."""


class Event(StrEnum):
    """What happened."""

    BOOTED = "booted"
    """The agent started on an image that is confirmed."""
    BOOTED_ON_TRIAL = "booted-on-trial"
    """The agent started on a new image, for the one start that a trial has."""
    BOOTED_AFTER_REVERT = "booted-after-revert"
    """The agent started, and found that a trial had died: the image before is back."""
    CHECKED_IN = "checked-in"
    """A check-in was verified, or was genuine and merely not newer."""
    OFFERED = "offered"
    """A check-in and a release's manifest were verified: this image is to be installed."""
    INSTALLED = "installed"
    """The other slot holds the image, its digest that of the signed manifest."""
    INTERRUPTED = "interrupted"
    """Network, source or disk failed on the way; nothing is known against the image."""
    HEALTHY = "healthy"
    """The health check passed."""
    UNHEALTHY = "unhealthy"
    """The health check failed or took too long."""
    GAVE_UP = "gave-up"
    """The new image was healthy but could verify no check-in in time."""
    CONFIRMED = "confirmed"
    """The slots keep the new image."""
    MISBEHAVED = "misbehaved"
    """Two signed statements that cannot both be honest were received."""
    RELEASED = "released"
    """A person looked at the evidence and lets the agent go on."""


class Do(StrEnum):
    """An effect: recorded with the state, or (ACTING) performed after the state was saved."""

    FETCH = "fetch"
    TRY = "try"
    CHECK_HEALTH = "check-health"
    CHECK_IN = "check-in"
    CONFIRM = "confirm"
    REVERT = "revert"
    COUNT_FAILURE = "count-failure"
    BACK_OFF = "back-off"
    ADOPT = "adopt"
    TELL_CONFIRMED = "tell-confirmed"
    TELL_REVERTED = "tell-reverted"
    KEEP_EVIDENCE = "keep-evidence"


# These act on the world and answer with the next event, or boot, so they stand last.
ACTING: Final = frozenset({Do.FETCH, Do.TRY, Do.CHECK_HEALTH, Do.CHECK_IN, Do.CONFIRM, Do.REVERT})

_S, _E = State, Event
_REVERTED: Final = (State.IDLE, (Do.TELL_REVERTED,))
_LOST: Final = (State.IDLE, (Do.BACK_OFF, Do.TELL_REVERTED))
_STRAY_TRIAL: Final = (State.REVERTING, (Do.REVERT,))

TRANSITIONS: Final[Mapping[tuple[State, Event], tuple[State, tuple[Do, ...]]]] = {
    (_S.IDLE, _E.BOOTED): (_S.IDLE, ()),
    (_S.IDLE, _E.BOOTED_ON_TRIAL): _STRAY_TRIAL,
    (_S.IDLE, _E.BOOTED_AFTER_REVERT): _REVERTED,
    (_S.IDLE, _E.CHECKED_IN): (_S.IDLE, ()),
    (_S.IDLE, _E.OFFERED): (_S.FETCHING, (Do.FETCH,)),
    (_S.IDLE, _E.MISBEHAVED): (_S.FROZEN, (Do.KEEP_EVIDENCE,)),
    (_S.FETCHING, _E.BOOTED): (_S.IDLE, ()),
    (_S.FETCHING, _E.BOOTED_ON_TRIAL): _STRAY_TRIAL,
    (_S.FETCHING, _E.BOOTED_AFTER_REVERT): _LOST,
    (_S.FETCHING, _E.INSTALLED): (_S.STAGED, (Do.TRY,)),
    (_S.FETCHING, _E.INTERRUPTED): (_S.IDLE, ()),
    (_S.STAGED, _E.BOOTED): (_S.IDLE, ()),
    (_S.STAGED, _E.BOOTED_ON_TRIAL): (_S.TRIAL, (Do.CHECK_HEALTH,)),
    (_S.STAGED, _E.BOOTED_AFTER_REVERT): _LOST,
    (_S.STAGED, _E.INTERRUPTED): (_S.IDLE, ()),
    (_S.TRIAL, _E.BOOTED): _LOST,
    (_S.TRIAL, _E.BOOTED_ON_TRIAL): _STRAY_TRIAL,
    (_S.TRIAL, _E.BOOTED_AFTER_REVERT): _LOST,
    (_S.TRIAL, _E.HEALTHY): (_S.PROVING, (Do.CHECK_IN,)),
    (_S.TRIAL, _E.UNHEALTHY): (_S.REVERTING, (Do.COUNT_FAILURE, Do.REVERT)),
    (_S.PROVING, _E.BOOTED): _LOST,
    (_S.PROVING, _E.BOOTED_ON_TRIAL): _STRAY_TRIAL,
    (_S.PROVING, _E.BOOTED_AFTER_REVERT): _LOST,
    (_S.PROVING, _E.CHECKED_IN): (_S.CONFIRMING, (Do.CONFIRM,)),
    (_S.PROVING, _E.GAVE_UP): (_S.REVERTING, (Do.BACK_OFF, Do.REVERT)),
    (_S.PROVING, _E.MISBEHAVED): (_S.FROZEN, (Do.KEEP_EVIDENCE, Do.TELL_REVERTED, Do.REVERT)),
    (_S.CONFIRMING, _E.BOOTED): (_S.IDLE, (Do.ADOPT, Do.TELL_CONFIRMED)),
    (_S.CONFIRMING, _E.BOOTED_ON_TRIAL): _STRAY_TRIAL,
    (_S.CONFIRMING, _E.BOOTED_AFTER_REVERT): _LOST,
    (_S.CONFIRMING, _E.CONFIRMED): (_S.IDLE, (Do.ADOPT, Do.TELL_CONFIRMED)),
    (_S.CONFIRMING, _E.INTERRUPTED): (_S.REVERTING, (Do.REVERT,)),
    (_S.REVERTING, _E.BOOTED): _REVERTED,
    (_S.REVERTING, _E.BOOTED_ON_TRIAL): _STRAY_TRIAL,
    (_S.REVERTING, _E.BOOTED_AFTER_REVERT): _REVERTED,
    (_S.FROZEN, _E.BOOTED): (_S.FROZEN, ()),
    (_S.FROZEN, _E.BOOTED_ON_TRIAL): (_S.FROZEN, (Do.REVERT,)),
    (_S.FROZEN, _E.BOOTED_AFTER_REVERT): (_S.FROZEN, ()),
    (_S.FROZEN, _E.CHECKED_IN): (_S.FROZEN, ()),
    (_S.FROZEN, _E.OFFERED): (_S.FROZEN, ()),
    (_S.FROZEN, _E.MISBEHAVED): (_S.FROZEN, (Do.KEEP_EVIDENCE,)),
    (_S.FROZEN, _E.RELEASED): (_S.IDLE, ()),
}

# Answers to effects that only other states perform, and a release where nothing is frozen.
_ANSWERS: Final = frozenset(
    {
        *(_E.CHECKED_IN, _E.OFFERED, _E.INSTALLED, _E.INTERRUPTED, _E.HEALTHY, _E.UNHEALTHY),
        *(_E.GAVE_UP, _E.CONFIRMED, _E.MISBEHAVED, _E.RELEASED),
    }
)
IMPOSSIBLE: Final = frozenset(
    {(_S.IDLE, event) for event in _ANSWERS - {_E.CHECKED_IN, _E.OFFERED, _E.MISBEHAVED}}
    | {(_S.FETCHING, event) for event in _ANSWERS - {_E.INSTALLED, _E.INTERRUPTED}}
    | {(_S.STAGED, event) for event in _ANSWERS - {_E.INTERRUPTED}}
    | {(_S.TRIAL, event) for event in _ANSWERS - {_E.HEALTHY, _E.UNHEALTHY}}
    | {(_S.PROVING, event) for event in _ANSWERS - {_E.CHECKED_IN, _E.GAVE_UP, _E.MISBEHAVED}}
    | {(_S.CONFIRMING, event) for event in _ANSWERS - {_E.CONFIRMED, _E.INTERRUPTED}}
    | {(_S.REVERTING, event) for event in _ANSWERS}
    | {
        (_S.FROZEN, event)
        for event in _ANSWERS - {_E.CHECKED_IN, _E.OFFERED, _E.MISBEHAVED, _E.RELEASED}
    }
)


def step(state: State, event: Event) -> tuple[State, tuple[Do, ...]]:
    """What follows. A pair of IMPOSSIBLE is a bug of the runtime and raises AssertionError."""
    following = TRANSITIONS.get((state, event))
    if following is None:
        raise AssertionError(f"{event} cannot happen while {state}")
    return following


def draw() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> idle"]
    for (state, event), (following, effects) in TRANSITIONS.items():
        label = f"{event} / {', '.join(effects)}" if effects else str(event)
        lines.append(f"    {state} --> {following}: {label}")
    return "\n".join(lines) + "\n"
