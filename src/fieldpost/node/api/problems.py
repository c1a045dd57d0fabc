# SPDX-License-Identifier: Apache-2.0
"""Error families at the edge of HTTP: one table from family to problem document (RFC 9457).

The table is walked along the error's own ancestry, so a new kind of error is answered as its
family. `type` is a path on this node that explains the problem; `detail` is the error's message;
`next` says what to do, and every problem has one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fieldpost.durable import DiskFull
from fieldpost.errors import (
    Conflict,
    FieldpostError,
    Malformed,
    Misbehaviour,
    Misconfigured,
    NotFound,
    Rejected,
    Unavailable,
    Untrusted,
)
from fieldpost.node.uploads import TooMuch

CONTENT_TYPE: Final = "application/problem+json"


class TooLarge(Malformed):
    """A request's body or header is larger than this node takes."""


class WrongType(Malformed):
    """A request's content type is not the one of its place."""


class TooSlow(Unavailable):
    """A request's body did not come in time."""


class Unauthorized(Untrusted):
    """A request lacks the token that its place needs."""


class TooOften(Unavailable):
    """A client asks more often than this node answers one."""


class BadRange(Malformed):
    """A byte range that the thing has not. `size` in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the range lies outside the {size} bytes that there are")
        self.size = size


@dataclass(frozen=True, slots=True)
class Problem:
    """How a family is told: status, last part of `type`, title, and what to do."""

    status: int
    name: str
    title: str
    next: str


PROBLEMS: Final[dict[type[FieldpostError], Problem]] = {
    TooLarge: Problem(
        413, "malformed", "Too large", "send less; the limits are in docs/spec/limits.md"
    ),
    TooMuch: Problem(
        413, "malformed", "No room for it", "send less, or ask the operator for more room"
    ),
    DiskFull: Problem(
        507, "unavailable", "The disk is full", "try again later, or use another node"
    ),
    TooOften: Problem(
        429, "unavailable", "Too many requests", "ask again after Retry-After, and less often"
    ),
    Unauthorized: Problem(
        401, "untrusted", "No permit", "show a permit: `fieldpost release publish` makes one"
    ),
    WrongType: Problem(
        415, "malformed", "Wrong content type", "send the content type that the detail names"
    ),
    BadRange: Problem(416, "malformed", "No such range", "ask for a range inside the size"),
    Malformed: Problem(
        400, "malformed", "Malformed", "correct the bytes; sending the same again cannot succeed"
    ),
    Rejected: Problem(
        422,
        "rejected",
        "Rejected by the board's rules",
        "look the code up in docs/spec/codes.md; nothing was changed",
    ),
    Misbehaviour: Problem(
        409,
        "misbehaviour",
        "Two signed statements that cannot both be honest",
        "keep both, and show them to the board's monitors",
    ),
    Untrusted: Problem(
        403,
        "untrusted",
        "Not proven",
        "check which key signed and for which board; nothing was stored",
    ),
    NotFound: Problem(
        404, "not-found", "Not here", "check the id; what was posted moments ago may need a retry"
    ),
    Conflict: Problem(409, "conflict", "Conflict", "go on from `current`, which stands now"),
    TooSlow: Problem(408, "unavailable", "Too slow", "send the request again, without pauses"),
    Unavailable: Problem(
        503, "unavailable", "Unavailable", "try again later; what was acknowledged is kept"
    ),
    Misconfigured: Problem(
        500, "misconfigured", "This node needs its operator", "tell the operator; use another node"
    ),
    FieldpostError: Problem(500, "error", "Error", "try again later"),
}

_STATUS_NEXT: Final = {
    404: "see the API in docs/spec/http.md",
    405: "use one of the methods in the Allow header",
}


def problem_of(error: FieldpostError) -> Problem:
    """The nearest family in the table."""
    for family in type(error).__mro__:
        if family in PROBLEMS:
            return PROBLEMS[family]
    raise AssertionError("every error has a family")


def problem_document(error: FieldpostError) -> dict[str, object]:
    """The members of the problem document of an error."""
    problem = problem_of(error)
    members: dict[str, object] = {
        "type": f"/problems/{problem.name}",
        "title": problem.title,
        "status": problem.status,
        "detail": str(error),
        "next": problem.next,
    }
    match error:
        case Rejected():
            members |= {"code": error.code, "name": error.name, "detail": error.detail}
        case Untrusted():
            members["reason"] = error.reason
        case Conflict() if error.current:
            members["current"] = error.current
    return members


def answer_error(_request: Request, error: Exception) -> Response:
    """The answer for an error of a family."""
    if not isinstance(error, FieldpostError):
        raise error
    return problem_response(error)


def problem_response(error: FieldpostError) -> Response:
    """The problem document of an error, with the headers that belong to it."""
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after_s or 1)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, BadRange):
        headers["Content-Range"] = f"bytes */{error.size}"
    return _answer(problem_document(error), headers)


def answer_http_error(_request: Request, error: Exception) -> Response:
    """The answer where routing itself failed: no such path, no such method."""
    if not isinstance(error, HTTPException):
        raise error
    members = {
        "type": "/problems/not-found" if error.status_code == 404 else "/problems/malformed",
        "title": HTTPStatus(error.status_code).phrase,
        "status": error.status_code,
        "detail": "there is nothing at this path" if error.status_code == 404 else error.detail,
        "next": _STATUS_NEXT.get(error.status_code, "see the API in docs/spec/http.md"),
    }
    return _answer(members, dict(error.headers or {}))


def answer_bug(_request: Request, _error: Exception) -> Response:
    """The answer where we are wrong."""
    return bug_response()


def bug_response() -> Response:
    """What is said where we are wrong. It says nothing of the inside; the log does."""
    members = {
        "type": "/problems/error",
        "title": "A fault of this node",
        "status": 500,
        "detail": "the node met something that it did not expect",
        "next": "try again later or use another node; the operator finds the cause in the log",
    }
    return _answer(members, {})


def _answer(members: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    status = members["status"]
    assert isinstance(status, int)
    return Response(
        json.dumps(members).encode(),
        status,
        {**headers, "Cache-Control": "no-store"},
        media_type=CONTENT_TYPE,
    )


async def explain(request: Request) -> Response:
    """`GET /problems/<name>`: what `type` points to."""
    name = request.path_params["name"]
    rows = [problem for problem in PROBLEMS.values() if problem.name == name]
    if not rows:
        raise NotFound("no problem has this name")
    return PlainTextResponse("".join(f"{p.status} {p.title}: {p.next}.\n" for p in rows))


routes = [Route("/problems/{name}", explain)]
