# SPDX-License-Identifier: Apache-2.0
"""Taking reports: one body in, 204 once it is verified and on the disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final

from starlette.responses import Response

from fieldpost.errors import FieldpostError, Unavailable
from fieldpost.fleet.service import FleetService
from fieldpost.node.api.problems import bug_response, problem_response
from fieldpost.node.config import Limits
from fieldpost.node.handover import Handover
from fieldpost.node.report_relay import RELAYED
from fieldpost.node.taking import Respond, Waiting

REPORT: Final = "application/eat+cwt"


class ReportDesk:
    """A Taker of device reports. `pass_on` is told of each that a device brought, once stored."""

    def __init__(
        self,
        fleet: FleetService,
        limits: Limits,
        *,
        pass_on: Callable[[bytes], None] | None = None,
    ) -> None:
        self._fleet = fleet
        self._pass_on = pass_on
        self._limits = limits
        self._handover: Handover | None = None

    def most_bytes(self, kind: str) -> int:
        """See Taker."""
        return self._limits.report_bytes if kind in (REPORT, RELAYED) else 0

    def take(self, kind: str, body: bytes, respond: Respond) -> None:
        """See Taker."""
        loop = asyncio.get_running_loop()
        if self._handover is None:
            self._handover = Handover(loop)
        waiting, handover = Waiting(respond), self._handover
        try:
            stored = self._fleet.take_report(body)
        except FieldpostError as error:
            waiting.answer(problem_response(error))
            return
        late = Unavailable("the report is not stored yet; send the same bytes again", 5)
        waiting.expect(loop, self._limits.commit_s, lambda: waiting.answer(problem_response(late)))
        if kind == REPORT and self._pass_on is not None:
            stored.add_done_callback(partial(_relay, self._pass_on, body))
        stored.add_done_callback(lambda done: handover.call(partial(_settle, waiting, done)))


def _relay(pass_on: Callable[[bytes], None], report: bytes, stored: Future[None]) -> None:
    if stored.exception() is None:
        pass_on(report)


def _settle(waiting: Waiting, stored: Future[None]) -> None:
    error = stored.exception()
    if error is None:
        waiting.answer(Response(None, 204))
    elif isinstance(error, FieldpostError):
        waiting.answer(problem_response(error))
    else:
        waiting.answer(bug_response())
