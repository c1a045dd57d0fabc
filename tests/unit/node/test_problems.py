# SPDX-License-Identifier: Apache-2.0
"""Every refusal over HTTP names its family, and says what to do next."""

import json

import pytest
from starlette.requests import Request

from fieldpost import errors
from fieldpost.errors import (
    Conflict,
    FieldpostError,
    Malformed,
    Misbehaviour,
    Rejected,
    Unavailable,
    Untrusted,
)
from fieldpost.node.api.problems import (
    PROBLEMS,
    BadRange,
    TooLarge,
    answer_bug,
    answer_error,
    problem_document,
    problem_of,
)

REQUEST = Request({"type": "http", "method": "GET", "path": "/", "headers": []})
FAMILIES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, FieldpostError)
]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_of_errors_is_in_the_table(family: type[FieldpostError]) -> None:
    assert family in PROBLEMS


@pytest.mark.parametrize("family", PROBLEMS)
def test_every_problem_says_what_to_do_next(family: type[FieldpostError]) -> None:
    problem = PROBLEMS[family]
    assert 400 <= problem.status < 600
    assert problem.next
    assert problem.title


def test_a_new_kind_of_error_is_answered_as_its_nearest_family() -> None:
    class NewKind(TooLarge):
        """Not in the table."""

    assert problem_of(NewKind("x")) is PROBLEMS[TooLarge]
    assert problem_of(Misbehaviour("split-view", "", ())) is PROBLEMS[Misbehaviour]


def test_what_an_error_carries_is_in_its_document() -> None:
    rejected = problem_document(Rejected(7, "stale-nonce", "nonce 3"))
    assert (rejected["status"], rejected["code"], rejected["name"]) == (422, 7, "stale-nonce")
    assert rejected["detail"] == "nonce 3"
    assert problem_document(Untrusted("bad-signature"))["reason"] == "bad-signature"
    assert problem_document(Conflict("taken", "17"))["current"] == "17"
    assert "current" not in problem_document(Conflict("taken"))


def test_an_answer_is_a_problem_document_that_nobody_caches() -> None:
    answer = answer_error(REQUEST, Malformed("the bytes"))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    document = json.loads(bytes(answer.body))
    assert document["type"] == "/problems/malformed"
    assert document["detail"] == "the bytes"


def test_unavailable_says_when_to_come_back() -> None:
    assert answer_error(REQUEST, Unavailable("busy", 17)).headers["retry-after"] == "17"
    assert answer_error(REQUEST, Unavailable("busy")).headers["retry-after"] == "1"


def test_a_bad_range_says_how_large_the_thing_is() -> None:
    assert answer_error(REQUEST, BadRange(10)).headers["content-range"] == "bytes */10"


def test_a_fault_of_our_own_tells_nothing_of_the_inside() -> None:
    answer = answer_bug(REQUEST, ValueError("secret detail"))
    assert answer.status_code == 500
    assert b"secret" not in bytes(answer.body)
