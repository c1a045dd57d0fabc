# SPDX-License-Identifier: Apache-2.0
"""The one thread that writes the fleet database, many jobs to a transaction.

A job's future is done only after its transaction is on the disk. A job that raises changes
nothing and spoils nothing for the others in its batch.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from fieldpost.errors import FieldpostError, Unavailable
from fieldpost.fleet.ahead import Incoming
from fieldpost.fleet.database import FleetDb

JOBS_PER_TRANSACTION: Final = 256
JOBS_WAITING: Final = 8_192


@dataclass(frozen=True, slots=True)
class _Job:
    run: Callable[[], None]
    report: Incoming | None
    done: Future[None]


class Writer:
    """Group commit. Jobs run in the order in which they were submitted.

    `ahead` is called with the reports of a batch, inside its transaction and before its jobs.
    """

    def __init__(self, database: FleetDb, *, ahead: Callable[[Sequence[Incoming]], None]) -> None:
        self._database = database
        self._ahead = ahead
        self._queue: queue.Queue[_Job | None] = queue.Queue(JOBS_WAITING)
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="fleet-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[], None], report: Incoming | None = None) -> Future[None]:
        """Have `run` called inside a transaction, for the report that it takes if it takes one.

        `run` must check everything before it writes anything. Raises Unavailable when too many
        wait.
        """
        job = _Job(run, report, Future())
        if self._closed:
            raise Unavailable("the fleet service is stopping", 5)
        try:
            self._queue.put_nowait(job)
        except queue.Full as error:
            raise Unavailable("the fleet service is busy", 5) from error
        return job.done

    def close(self) -> None:
        """Finish what was submitted, then end the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    def _loop(self) -> None:
        while True:
            jobs = self._collect()
            if jobs:
                self._commit([job for job in jobs if job is not None])
            if None in jobs:
                return

    def _collect(self) -> list[_Job | None]:
        jobs: list[_Job | None] = [self._queue.get()]
        while len(jobs) < JOBS_PER_TRANSACTION and jobs[-1] is not None:
            try:
                jobs.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return jobs

    def _commit(self, jobs: list[_Job]) -> None:
        # From here on a caller that gives up can no longer cancel: its job is being done.
        jobs = [job for job in jobs if job.done.set_running_or_notify_cancel()]
        results: list[tuple[_Job, FieldpostError | None]] = []
        try:
            with self._database.transaction():
                self._ahead([job.report for job in jobs if job.report is not None])
                results = [(job, _attempt(job.run)) for job in jobs]
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            for job in jobs:
                job.done.set_exception(error)
            return
        for job, refusal in results:
            if refusal is None:
                job.done.set_result(None)
            else:
                job.done.set_exception(refusal)


def _attempt(run: Callable[[], None]) -> FieldpostError | None:
    try:
        run()
    except FieldpostError as error:
        return error
    return None
