# SPDX-License-Identifier: Apache-2.0
"""Requests to a witness as HTTP: one table from its answers to statuses (C2SP tlog-witness)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from starlette.responses import JSONResponse, Response

from fieldpost.checkin.chains import MissingLinks
from fieldpost.errors import FieldpostError, Unavailable
from fieldpost.node.api.problems import CONTENT_TYPE, problem_document, problem_response
from fieldpost.node.config import Limits
from fieldpost.node.taking import Owed, Respond
from fieldpost.tlog.note import format_signature_lines
from fieldpost.tlog.witness import (
    MAX_REQUEST_BYTES,
    SIZE_TYPE,
    Inconsistent,
    OtherSize,
    format_known_size,
)
from fieldpost.watch.witness.service import Answer, WitnessService

TEXT: Final = "text/plain; charset=utf-8"
EPOCH_HEADER: Final = "Fieldpost-Board-Epoch"
_NO_STORE: Final = {"Cache-Control": "no-store"}


class WitnessDesk:
    """A Taker of add-checkpoint requests. `count` is told the status of each answer."""

    def __init__(
        self, service: WitnessService, limits: Limits, count: Callable[[int], None]
    ) -> None:
        self._service = service
        self._count = count
        self._owed: Owed[Answer] = Owed(limits.commit_s, settle=self._settle, late=self._late)

    def most_bytes(self, kind: str) -> int:  # noqa: ARG002 - C2SP names no content type
        """See Taker."""
        return MAX_REQUEST_BYTES

    def take(self, kind: str, body: bytes, respond: Respond) -> None:  # noqa: ARG002
        """See Taker."""
        self.take_with(body, None, respond)

    def take_with(self, body: bytes, state: bytes | None, respond: Respond) -> None:
        """Take a request, with the state proof that a board's checkpoint comes with."""
        self._service.submit(body, state, self._owed.owe(respond))

    async def answer(self, body: bytes, state: bytes | None) -> Response:
        """The answer to a request, for a handler of the application."""
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def settle(response: Response) -> None:
            if not answer.done():
                answer.set_result(response)

        self.take_with(body, state, settle)
        return await answer

    def _settle(self, settled: Sequence[tuple[Respond, Answer]]) -> None:
        for respond, answer in settled:
            self._owed.pay(respond, self._counted(answer))

    def _late(self, _count: int) -> Response:
        return self._counted(Unavailable("it is not cosigned yet; send the same bytes again", 5))

    def _counted(self, answer: Answer) -> Response:
        response = response_of(answer)
        self._count(response.status_code)
        return response


def response_of(answer: Answer) -> Response:
    """The HTTP answer that says what became of a request."""
    match answer:
        case tuple():
            text = format_signature_lines(answer)
            return Response(text.encode(), headers={**_NO_STORE, "Content-Type": TEXT})
        case OtherSize():
            headers = {**_NO_STORE, "Content-Type": SIZE_TYPE}
            return Response(format_known_size(answer.size), 409, headers)
        case Inconsistent():
            return _with_status(422, answer)
        case MissingLinks():
            response = problem_response(answer)
            response.headers[EPOCH_HEADER] = str(answer.since)
            return response
        case error:
            return problem_response(error)


def _with_status(status: int, error: FieldpostError) -> Response:
    members = {**problem_document(error), "status": status}
    return JSONResponse(members, status, _NO_STORE, media_type=CONTENT_TYPE)
