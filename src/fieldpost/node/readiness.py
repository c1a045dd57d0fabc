# SPDX-License-Identifier: Apache-2.0
"""Whether a node can do its work now: its engine lives, its disk takes writes, its head is fresh.

Asked by load balancers every few seconds, and by strangers as often as they like; so the disk is
tried at most every `_DISK_S` seconds, whoever asks.
"""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final

from fieldpost.durable import OS, Disk, remove, write_file
from fieldpost.engines.base import Engine
from fieldpost.errors import Unavailable
from fieldpost.journal import tell
from fieldpost.ledger.reading import read_board

_log = logging.getLogger(__name__)
LEAST_FREE_BYTES: Final = 64 * 1024 * 1024
_DISK_S: Final = 5.0


class Readiness:
    """The checks of one node over `data`. `clock` gives Unix seconds, `uptime` any seconds."""

    def __init__(
        self,
        engine: Engine,
        data: Path,
        *,
        clock: Callable[[], int],
        uptime: Callable[[], float],
        disk: Disk = OS,
    ) -> None:
        self._engine = engine
        self._data = data
        self._clock = clock
        self._uptime = uptime
        self._disk = disk
        self._lock = Lock()
        self._was_ready = True
        self._tried: float | None = None
        self._trouble: Unavailable | None = None

    def check(self) -> None:
        """Raises Unavailable that says what is wrong and what to do. Writes to the disk.

        The operator's log has every change, once.
        """
        try:
            self._check()
        except Unavailable as error:
            self._say(error)
            raise
        self._say(None)

    def _say(self, error: Unavailable | None) -> None:
        with self._lock:
            was, self._was_ready = self._was_ready, error is None
        if was and error is not None:
            tell(_log, "not-ready", error=error)
        elif not was and error is None:
            tell(_log, "ready-again")

    def _check(self) -> None:
        self._engine.check_ready()
        self._check_disk()
        age, most = self.age_s(), 2 * self.epoch_s()
        if age > most:
            raise Unavailable(
                f"the newest cosignatures are {age} s old, and should be younger than {most} s: "
                "look at the node's log, its clock, and its cosigners"
            )

    def is_ready(self) -> bool:
        """Whether `check` passes."""
        try:
            self.check()
        except Unavailable:
            return False
        return True

    def age_s(self) -> int:
        """How old the newest cosignatures are."""
        return self._clock() - self._engine.published().timestamp

    def epoch_s(self) -> int:
        """How often the board wants to be cosigned."""
        return read_board(self._engine.published().map).epoch_s

    def free_bytes(self) -> int:
        """What is left on the disk of the data directory."""
        return shutil.disk_usage(self._data).free

    def _check_disk(self) -> None:
        with self._lock:
            now = self._uptime()
            if self._tried is None or now - self._tried >= _DISK_S:
                self._tried, self._trouble = now, self._try_disk()
            if self._trouble is not None:
                raise Unavailable(str(self._trouble))

    def _try_disk(self) -> Unavailable | None:
        path = self._data / "writable"
        try:
            write_file(path, b"", disk=self._disk)
            remove(path, disk=self._disk)
            free = self.free_bytes()
        except Unavailable as error:
            return error
        except OSError as error:
            return Unavailable(f"cannot look at {self._data}: {error.strerror}")
        if free < LEAST_FREE_BYTES:
            # Posts are still taken: near nothing they are refused, and heads alone are written.
            return Unavailable(
                f"{self._data} has {free // 2**20} MiB left: free some space; nothing that was "
                "acknowledged is lost"
            )
        return None
