# SPDX-License-Identifier: Apache-2.0
"""Reading an HTTP answer: what a status and a problem document (RFC 9457) mean here.

Whoever sits between us and a board can forge all of this, so none of it is an alarm: it says who
should act, and whether trying again makes sense. Redirects, HTML (captive portals), encodings that
nobody asked for and other content types are failures of the network.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from fieldpost.errors import (
    Conflict,
    FieldpostError,
    Malformed,
    NotFound,
    Rejected,
    Unavailable,
    Untrusted,
)

PROBLEM: Final = "application/problem+json"
MOST_RETRY_AFTER_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that is no error. `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; empty if there is none."""
        return content_type(self.headers)

    def json(self) -> object:
        """The body as JSON. Raises Unavailable: a board's answer that does not parse is no answer.

        What was signed never comes as JSON, so nothing that is believed is read here.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Unavailable("the answer is not JSON, as it should be") from error


def content_type(headers: Mapping[str, str]) -> str:
    """The media type without parameters, in lower case."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def check_head(status: int, headers: Mapping[str, str], accept: tuple[str, ...]) -> None:
    """Judge status line and header of an answer that should be a success.

    `accept`: admitted content types; none = anything but HTML. Raises Unavailable.
    """
    if 300 <= status < 400 and status != 304:
        raise Unavailable(f"the network redirects ({status}): perhaps a login page is in the way")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Unavailable("the network changed the answer's encoding")
    kind = content_type(headers)
    if kind == "text/html":
        raise Unavailable("a web page came back: perhaps a login page is in the way")
    if 200 <= status < 300 and status != 204 and accept and kind not in accept:
        raise Unavailable(f"content type {kind or 'missing'!r} where {accept[0]!r} was expected")


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> FieldpostError:
    """The error that an answer of status ≥ 400 stands for."""
    problem = _problem(headers, body)
    detail = _text(problem, "detail") or _text(problem, "title") or f"HTTP status {status}"
    hint = _text(problem, "next")
    if hint:
        detail = f"{detail}; {hint}"
    match _text(problem, "type").rpartition("/")[2]:
        case "rejected":
            return _rejected(problem, detail)
        case "untrusted" | "misbehaviour":
            return Untrusted(_text(problem, "reason") or "refused", detail)
        case "malformed":
            return Malformed(detail)
        case "conflict":
            return Conflict(detail, _text(problem, "current"))
    match status:
        case 404 | 410:
            return NotFound(detail)
        case 409 | 412 | 416:
            return Conflict(detail, _text(problem, "current"))
        case 400 | 405 | 406 | 411 | 413 | 414 | 415 | 422 | 431:
            return Malformed(detail)
        case _:
            return Unavailable(detail, retry_after_s(headers))


def retry_after_s(headers: Mapping[str, str]) -> int | None:
    """What Retry-After asks for: seconds from now, at most a day; None if it says nothing."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(int(value[:9]), MOST_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = int((moment - datetime.now(UTC)).total_seconds())
    return max(0, min(seconds, MOST_RETRY_AFTER_S))


def _problem(headers: Mapping[str, str], body: bytes) -> Mapping[str, object]:
    if content_type(headers) != PROBLEM:
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def parse_count(text: str) -> int | None:
    """A number of bytes in a header, at most 18 digits; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _text(problem: Mapping[str, object], member: str) -> str:
    value = problem.get(member)
    if not isinstance(value, str):
        return ""
    # It is shown on terminals and saved as UTF-8: no escape sequences, no lone surrogates.
    return "".join(letter if letter.isprintable() else "?" for letter in value[:1000])


def _rejected(problem: Mapping[str, object], detail: str) -> FieldpostError:
    code = problem.get("code")
    if isinstance(code, int) and not isinstance(code, bool):
        return Rejected(code, _text(problem, "name") or "rejected", detail)
    return Malformed(detail)
