# SPDX-License-Identifier: Apache-2.0
"""Taking reports: one body in, 204 once it is verified and on the disk."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final

from starlette.responses import Response

from fieldpost.errors import FieldpostError, Unavailable
from fieldpost.fleet.service import FleetService
from fieldpost.node.api.problems import bug_response, problem_response
from fieldpost.node.config import Limits
from fieldpost.node.report_relay import RELAYED
from fieldpost.node.taking import Owed, Respond

REPORT: Final = "application/eat+cwt"


class ReportDesk:
    """A Taker of device reports. `pass_on` is told of each that a device brought, once stored.

    `check_room` raises DiskFull while no report is to be stored.
    """

    def __init__(
        self,
        fleet: FleetService,
        limits: Limits,
        *,
        pass_on: Callable[[bytes], None] | None = None,
        check_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._fleet = fleet
        self._check_room = check_room
        self._pass_on = pass_on
        self._limits = limits
        self._owed = Owed(limits.commit_s, settle=self._settle, late=_late)

    def most_bytes(self, kind: str) -> int:
        """See Taker."""
        return self._limits.report_bytes if kind in (REPORT, RELAYED) else 0

    def take(self, kind: str, body: bytes, respond: Respond) -> None:
        """See Taker."""
        try:
            self._check_room()
            stored = self._fleet.take_report(body)
        except FieldpostError as error:
            respond(problem_response(error))
            return
        if kind == REPORT and self._pass_on is not None:
            stored.add_done_callback(partial(_relay, self._pass_on, body))
        stored.add_done_callback(self._owed.owe(respond))

    def _settle(self, settled: Sequence[tuple[Respond, Future[None]]]) -> None:
        for respond, stored in settled:
            self._owed.pay(respond, _answer(stored.exception()))


def _relay(pass_on: Callable[[bytes], None], report: bytes, stored: Future[None]) -> None:
    if stored.exception() is None:
        pass_on(report)


def _late(_count: int) -> Response:
    return problem_response(
        Unavailable("the report is not stored yet; send the same bytes again", 5)
    )


def _answer(error: BaseException | None) -> Response:
    if error is None:
        return Response(None, 204)
    return problem_response(error) if isinstance(error, FieldpostError) else bug_response()
