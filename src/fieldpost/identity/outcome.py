# SPDX-License-Identifier: Apache-2.0
"""How a device's last attempt went: the outcome claim of a report (docs/spec/identity.md).

    {4: true | {5: outcome number, 7: SUIT reason}, -1: outcome number, -2: reason for people}

Labels 4, 5 and 7 are the result of a SUIT_Report (draft-ietf-suit-report): true where nothing
went wrong, else a code of our own and the draft's reason that comes nearest. It is not a whole
SUIT_Report: there is no record of commands, because nothing here runs commands. Label 4 follows
from -1, and a claim in which it does not is malformed. -2 is absent where it would be empty.
"""

from enum import StrEnum
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records.fields import check_text
from fieldpost.records.limits import MAX_TEXT


class Outcome(StrEnum):
    """What a device reports about its last check-in or installation."""

    CONFIRMED = "confirmed"
    """A new image booted, was healthy, verified a check-in, and stays."""
    FAILED = "failed"
    """A release was tried and could not be installed, or its health check failed."""
    REVERTED = "reverted"
    """The device is back on the image that it ran before."""
    CHECKED_IN = "checked-in"
    """Running, and nothing to do."""
    POSTPONED = "postponed"
    """An offer waits for its conditions."""
    DECLINED = "declined"
    """A person or the application said no."""
    LOW_POWER = "low-power"
    """An offer waits for battery or external power."""
    STALE = "stale"
    """Nothing fresh enough was received within the policy's max_age."""


NUMBERS: Final = {outcome: number for number, outcome in enumerate(Outcome, start=1)}
_OUTCOMES: Final = {number: outcome for outcome, number in NUMBERS.items()}

# Outcomes that SUIT would call a failure, with its nearest reason: 4 unauthorised, 10 condition
# failed, 11 operation failed, 12 invocation pending. What is absent went well.
_SUIT_REASONS: Final = {
    Outcome.FAILED: 11,
    Outcome.REVERTED: 11,
    Outcome.POSTPONED: 12,
    Outcome.DECLINED: 4,
    Outcome.LOW_POWER: 10,
    Outcome.STALE: 10,
}


def outcome_claim(outcome: Outcome, reason: str) -> dict[int, object]:
    """The CBOR form."""
    claim: dict[int, object] = {4: _suit_result(outcome), -1: NUMBERS[outcome]}
    if reason:
        claim[-2] = reason
    return claim


def read_outcome(value: cbor.Value) -> tuple[Outcome, str]:
    """The outcome and the reason, "" if there is none. Raises Malformed; skips other labels."""
    match value:
        case {4: result, -1: int(number), **rest} if type(number) is int and number in _OUTCOMES:
            outcome = _OUTCOMES[number]
        case _:
            raise Malformed("an outcome must be {4: result, -1: known number}")
    if cbor.encode(result) != _SUIT_RESULTS[outcome]:
        raise Malformed(f"the SUIT result is not that of {outcome}")
    return outcome, check_text(rest[-2], "a reason", MAX_TEXT) if -2 in rest else ""


def _suit_result(outcome: Outcome) -> object:
    if outcome not in _SUIT_REASONS:
        return True
    return {5: NUMBERS[outcome], 7: _SUIT_REASONS[outcome]}


_SUIT_RESULTS: Final = {outcome: cbor.encode(_suit_result(outcome)) for outcome in Outcome}
