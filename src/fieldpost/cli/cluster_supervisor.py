# SPDX-License-Identifier: Apache-2.0
"""One process that keeps the operators of a cluster as they are wanted, until it is stopped.

Every fifth of a second it looks at each operator's file `wanted` and starts or stops what differs.
An operator that ends by itself is started again, with back-off. All of them die with it, however
it ends; what they acknowledged is on the disk.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fieldpost.cli.cluster_plan import RUNNING, Member, Plan
from fieldpost.client.transport import HttpClient
from fieldpost.engines.cometbft import leash
from fieldpost.engines.exclusive import DirectoryLock
from fieldpost.errors import FieldpostError, Misconfigured, Unavailable

READY_S: Final = 300.0
_LOOK_S: Final = 0.2
_GRACE_S: Final = 30.0
_FIRST_DELAY_S: Final = 0.5
_MOST_DELAY_S: Final = 10.0
# An operator that ends so often before the cluster was ever ready will not come up at all.
_MOST_EARLY_ENDS: Final = 3
_PROBE_S: Final = 5.0
_MOST_LOG_BYTES: Final = 8 * 1024 * 1024
_SHOWN_BYTES: Final = 2_000


@dataclass(slots=True)
class _Kept:
    """One operator under supervision. Times are those of `time.monotonic`."""

    member: Member
    process: subprocess.Popen[bytes] | None = None
    ends: int = 0
    delay_s: float = _FIRST_DELAY_S
    start_at: float = 0.0
    kill_at: float | None = field(default=None)

    def look(self, now: float) -> None:
        """One step towards what is wanted."""
        if self.process is not None and self.process.poll() is not None:
            self._buried(now)
        wanted = self.member.wanted == RUNNING
        if wanted and self.process is None and now >= self.start_at:
            self._start()
        elif not wanted and self.process is not None:
            self.stop(now)
        if not wanted:
            self.start_at = 0.0

    def stop(self, now: float) -> None:
        """Ask it to end, once; kill it if it does not in time."""
        if self.process is None:
            return
        if self.kill_at is None:
            self.kill_at = now + _GRACE_S
            self.process.terminate()
        elif now >= self.kill_at:
            self.process.kill()

    def _buried(self, now: float) -> None:
        (self.member.folder / "pid").unlink(missing_ok=True)
        self.process = None
        if self.kill_at is None and self.member.wanted == RUNNING:
            self.ends += 1
            self.start_at = now + self.delay_s
            self.delay_s = min(2 * self.delay_s, _MOST_DELAY_S)
        self.kill_at = None

    def _start(self) -> None:
        member = self.member
        with suppress(FileNotFoundError):
            if member.log.stat().st_size > _MOST_LOG_BYTES:
                member.log.replace(member.log.with_suffix(".log.1"))
        command = [sys.executable, "-m", "fieldpost.cli", "operator", "run", "--json"]
        command += ["--config", str(member.settings)]
        with member.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        (member.folder / "pid").write_text(f"{self.process.pid}\n")


class Supervisor:
    """Keeps the operators of `plan`; one for each folder. Raises Misconfigured for a second one."""

    def __init__(self, plan: Plan) -> None:
        try:
            self._lock = DirectoryLock(plan.folder)
        except Misconfigured as error:
            raise Misconfigured(
                f"the cluster in {plan.folder} is up already: see `fieldpost cluster status`"
            ) from error
        self._plan = plan
        self._kept = [_Kept(member) for member in plan.members]
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End `run`; may be called from a signal handler."""
        self._stopping.set()

    def run(self, on_ready: Callable[[], None]) -> None:
        """Keep them until `stop`; call `on_ready` once all that are wanted serve.

        Raises Unavailable for an operator that does not come up.
        """
        for member in self._plan.members:
            member.want(RUNNING)
        pid = self._plan.folder / "pid"
        pid.write_text(f"{os.getpid()}\n")
        until = time.monotonic() + READY_S
        ready = False
        try:
            while not self._stopping.wait(_LOOK_S):
                now = time.monotonic()
                for kept in self._kept:
                    kept.look(now)
                if not ready:
                    self._check_coming(now, until)
                    ready = all(is_serving(member) for member in self._plan.members)
                    if ready:
                        on_ready()
        finally:
            self._stop_all()
            pid.unlink(missing_ok=True)
            self._lock.release()

    def _check_coming(self, now: float, until: float) -> None:
        for kept in self._kept:
            if kept.ends >= _MOST_EARLY_ENDS:
                log = kept.member.log
                raise Unavailable(f"{kept.member.name} does not come up: {last_word(log)} ({log})")
        if now > until:
            raise Unavailable(
                f"the operators did not become ready in {READY_S:.0f} s: see operator.log of each "
                f"in {self._plan.folder}"
            )

    def _stop_all(self) -> None:
        while any(kept.process is not None and kept.process.poll() is None for kept in self._kept):
            for kept in self._kept:
                kept.stop(time.monotonic())
            time.sleep(_LOOK_S / 4)
        for member in self._plan.members:
            (member.folder / "pid").unlink(missing_ok=True)


def is_serving(member: Member) -> bool:
    """Whether its node takes posts and shows a published head."""
    return trouble_of(member) is None


def trouble_of(member: Member) -> str | None:
    """What its node says is wrong, if anything."""
    try:
        with HttpClient(member.url, timeout_s=_PROBE_S, total_s=_PROBE_S) as http:
            http.fetch("/readyz")
    except FieldpostError as error:
        return str(error)
    return None


def last_word(log: Path) -> str:
    """The last line that a program wrote, or that it wrote nothing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _SHOWN_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"
