# SPDX-License-Identifier: Apache-2.0
"""Where a mirror reads a board: nodes, mirrors and plain web servers, asked politely.

A checkpoint is asked for with the tag of the last one that was taken in, so an unchanged one costs
a header (304). Whoever fails is asked ever less often, the others meanwhile; when is a matter of
chance within bounds, so that many mirrors do not come at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fieldpost.client.transport import HttpClient
from fieldpost.engines.mirrors import Mirror
from fieldpost.errors import (
    Conflict,
    FieldpostError,
    Misconfigured,
    NotFound,
    Rejected,
    Unavailable,
    Untrusted,
)
from fieldpost.tlog.note import MAX_NOTE_BYTES

SILENCE_S: Final = 10.0
TOTAL_S: Final = 30.0
MOST_WAIT_S: Final = 300.0
_MOST_DOUBLINGS: Final = 12


@dataclass(frozen=True, slots=True)
class Shown:
    """A checkpoint as a source gave it, and the tag under which it need not be sent again."""

    note: bytes
    tag: str | None


class Source:
    """One base URL, for one thread. `mirror` reads the files below its `/log`.

    It may be silent for `silence_s` and take `total_s` for one file. Raises Misconfigured for what
    is no URL.
    """

    def __init__(self, url: str, *, silence_s: float = SILENCE_S, total_s: float = TOTAL_S) -> None:
        self.name = url.rstrip("/").removesuffix("/log")
        self.http = HttpClient(self.name, timeout_s=silence_s, total_s=total_s)
        self.mirror = Mirror(self.name, self._read)
        self._tag: str | None = None

    def _read(self, path: str, most_bytes: int) -> bytes:
        try:
            return self.http.fetch(f"/log/{path}", most_bytes=most_bytes)
        except NotFound:
            raise NotFound(f"{self.name} lacks {path}") from None
        except (Untrusted, Rejected, Conflict, Misconfigured) as error:
            # A problem document may name any family; from here it is only no file.
            raise Unavailable(f"{self.name} does not give {path}: {error}") from error

    def ask(self) -> Shown | None:
        """Its checkpoint; None while it is the one that was `taken`. Raises Unavailable, …"""
        headers = {} if self._tag is None else {"If-None-Match": self._tag}
        try:
            answer = self.http.send(
                "GET", "/log/checkpoint", most_bytes=MAX_NOTE_BYTES, headers=headers
            )
        except NotFound:
            raise NotFound(f"{self.name} has no checkpoint") from None
        except (Untrusted, Rejected, Conflict, Misconfigured) as error:
            raise Unavailable(f"{self.name} gives no checkpoint: {error}") from error
        if answer.status == 304 and self._tag is not None:
            return None
        return Shown(answer.body, answer.headers.get("etag"))

    def taken(self, shown: Shown) -> None:
        """What was shown is taken in: ask for something newer from now on."""
        self._tag = shown.tag

    def close(self) -> None:
        """Give the connection back."""
        self.http.close()


@dataclass(slots=True)
class Turn:
    """When a source is asked next (seconds of uptime), and how it went. For one thread.

    `behind`: how many entries it showed beyond ours when it was last asked and believed.
    """

    source: Source
    due: float = 0.0
    failures: int = 0
    answered: float | None = None
    behind: int = 0
    error: str | None = None

    def went_well(self, now: float, every_s: float, chance: Callable[[], float]) -> None:
        """It answered, and what it showed was taken in. `chance` is within [0, 1)."""
        self.failures, self.behind, self.error = 0, 0, None
        self.answered = now
        self.due = now + every_s * (0.75 + chance() / 2)

    def paused(self, now: float) -> None:
        """There is more of it, at once."""
        self.answered = self.due = now

    def failed(
        self, error: FieldpostError, now: float, every_s: float, chance: Callable[[], float]
    ) -> None:
        """It is asked later, twice as late each time, and not before it asked for that itself."""
        self.failures += 1
        self.error = str(error)
        if not isinstance(error, Unavailable):
            self.behind = 0  # what it showed is not so
        wait = min(every_s * 2 ** min(self.failures, _MOST_DOUBLINGS), MOST_WAIT_S)
        wait *= 0.75 + chance() / 2
        asked = error.retry_after_s if isinstance(error, Unavailable) else None
        self.due = now + max(wait, min(float(asked or 0), MOST_WAIT_S))
