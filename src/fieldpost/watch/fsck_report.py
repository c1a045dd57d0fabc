# SPDX-License-Identifier: Apache-2.0
"""What a check of a board came to: damage with what to do, and what could not be checked."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

# progress(what, how much of it) → told of advances
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One file that is not what it should be, why, and what to do."""

    file: str
    what: str
    advice: str


@dataclass(frozen=True, slots=True)
class Unchecked:
    """Something that nobody could look at here, and why not."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """Facts of a log, of which a damaged one shows few; all damage; and what was not checked."""

    facts: dict[str, object]
    damaged: tuple[Finding, ...]
    unchecked: tuple[Unchecked, ...]
