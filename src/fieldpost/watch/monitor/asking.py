# SPDX-License-Identifier: Apache-2.0
"""Asking every source for its checkpoint at once: a slow one holds up nobody.

What a source has not answered in time is taken at a later look. Files of a source's log are read
under a deadline, whatever it does, and a source that failed is not followed again for a while.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

from fieldpost.engines.mirrors import Mirror
from fieldpost.errors import FieldpostError, Unavailable
from fieldpost.tlog.tiles import FULL_WIDTH, Tile, tile_path
from fieldpost.watch.mirror_sources import Shown, Source

MOST_SOURCES: Final = 16
STEP_S: Final = 60.0
_MOST_REST_S: Final = 300.0
_TILE_BYTES: Final = FULL_WIDTH * 32


@dataclass(slots=True)
class Eye:
    """One source, seen twice: `asked` by a thread of its own, `source` read by the monitor's.

    `note` is the checkpoint that it showed last, `error` why there is none newer.
    """

    source: Source
    asked: Source
    note: bytes | None = None
    error: FieldpostError | None = None
    answered: bool = False
    rests_until: float = 0.0
    failures: int = 0
    asking: Future[Shown | None] | None = None
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.source.name


class Eyes:
    """All sources of a monitor, each of which has `ask_s` seconds to show its checkpoint.

    Raises Misconfigured for what is no URL.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        ask_s: float,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self.all = [Eye(Source(url), Source(url, silence_s=ask_s, total_s=ask_s)) for url in urls]
        self._ask_s = ask_s
        self._uptime = uptime
        self._pool = ThreadPoolExecutor(max(1, len(self.all)), "fieldpost-asks")

    def close(self) -> None:
        """Give the connections back, once what is under way has ended."""
        self._pool.shutdown(cancel_futures=True)
        for eye in self.all:
            eye.source.close()
            eye.asked.close()

    def ask(self) -> None:
        """Ask everybody; those that answer in time are `answered`."""
        for eye in self.all:
            eye.answered = False
            if eye.asking is None:
                eye.asking = self._pool.submit(eye.asked.ask)
        wait([eye.asking for eye in self.all if eye.asking is not None], self._ask_s)
        for eye in self.all:
            asking = eye.asking
            if asking is None or not asking.done():
                eye.error = Unavailable(f"{eye.name} has not answered yet")
                continue
            eye.asking = None
            self._take(eye, asking)

    def _take(self, eye: Eye, asking: "Future[Shown | None]") -> None:
        try:
            shown = asking.result()
        except FieldpostError as error:
            eye.error = error
            return
        if shown is not None:
            eye.note = shown.note
            eye.asked.taken(shown)
        eye.answered, eye.error = True, None

    def is_resting(self, eye: Eye) -> bool:
        """Whether a source that failed is left alone for now."""
        return self._uptime() < eye.rests_until

    def failed(self, eye: Eye, error: FieldpostError) -> None:
        """What it showed could not be followed: not at once again."""
        eye.error = error
        eye.failures += 1
        rest = min(2.0 ** min(eye.failures, 16), _MOST_REST_S)
        eye.rests_until = self._uptime() + rest

    def went_well(self, eye: Eye) -> None:
        """What it showed was followed."""
        eye.failures, eye.rests_until = 0, 0.0

    def files_of(self, eye: Eye) -> Mirror:
        """A source's files, all of which must have come within STEP_S seconds from now."""
        until = self._uptime() + STEP_S

        def read(path: str, most_bytes: int) -> bytes:
            if self._uptime() > until:
                raise Unavailable(f"{eye.name} is too slow; others are asked")
            return eye.source.mirror.read(path, most_bytes)

        return Mirror(eye.name, read)

    def tiles_of(self, eye: Eye) -> Callable[[Tile], bytes]:
        """A source's tiles, as `files_of`."""
        files = self.files_of(eye)
        return lambda tile: files.read(tile_path(tile), _TILE_BYTES)
