# SPDX-License-Identifier: Apache-2.0
"""One error for a person of what several nodes answered: it names each, and what each said."""

from collections.abc import Sequence

from fieldpost.client.sources import Failure, longest_wait_s
from fieldpost.errors import (
    Conflict,
    FieldpostError,
    Malformed,
    NotFound,
    Rejected,
    Unavailable,
    Untrusted,
)


def name_all(failures: Sequence[Failure]) -> FieldpostError:
    """The error whose family says who must act: what the rules refuse comes before what was not
    proven, and all of that before what could not be reached. One address alone: its own error."""
    if not failures:
        return Unavailable("no URL of the board is known; name one with --board URL")
    chosen = min((failure.error for failure in failures), key=_rank)
    if len(failures) == 1:
        return chosen
    words = _words(failures)
    match chosen:
        case Rejected():
            return Rejected(chosen.code, chosen.name, words)
        case Untrusted():
            return Untrusted(chosen.reason, words)
        case Conflict():
            return Conflict(words, chosen.current)
        case Unavailable():
            return Unavailable(words, longest_wait_s(failure.error for failure in failures))
    return type(chosen)(words)


def _rank(error: FieldpostError) -> int:
    match error:
        case Rejected():
            return 0
        case Untrusted():
            # Somebody who is behind says the least of all who answered.
            return 5 if error.reason == "not-newer" else 1
        case Malformed():
            return 2
        case Conflict():
            return 3
        case NotFound():
            return 4
    return 6


def _words(failures: Sequence[Failure]) -> str:
    said: dict[str, list[str]] = {}
    for failure in failures:
        said.setdefault(str(failure.error), []).append(failure.url)
    parts = [
        words if urls == [url] and url in words else f"{', '.join(urls)}: {words}"
        for words, urls in said.items()
        for url in urls[:1]
    ]
    return f"{len(failures)} nodes were asked: {'; '.join(parts)}"
