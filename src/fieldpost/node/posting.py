# SPDX-License-Identifier: Apache-2.0
"""Taking posts: one body in, an answer once everything in it is durable and published.

The engine answers a batch at once, on its thread; here the answers of a batch become responses
together: one wake-up of the event loop, one reading of tiles, one look at the checkpoint.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

from fieldpost import cbor
from fieldpost.engines.base import Answer, Receipt
from fieldpost.errors import FieldpostError, Malformed, Rejected, Unavailable
from fieldpost.journal import tell
from fieldpost.node.api.answers import answer_json_text
from fieldpost.node.api.problems import bug_response, problem_response
from fieldpost.node.handover import Handover
from fieldpost.node.service import NodeService
from fieldpost.node.taking import Respond, Waiting

ONE: Final = "application/cose"
MANY: Final = "application/cbor-seq"
_MALFORMED: Final = 1
_OUTCOMES: Final = "fieldpost_posts_total"

_log = logging.getLogger(__name__)


class PostDesk:
    """A Taker of posts, one in a body or a sequence of them."""

    def __init__(self, service: NodeService) -> None:
        self._service = service
        self._limits = service.limits
        self._handover: Handover | None = None
        self._unproven: list[tuple[Waiting, Receipt]] = []
        self._proving: set[asyncio.Task[None]] = set()

    def most_bytes(self, kind: str) -> int:
        """See Taker."""
        most = {ONE: 1, MANY: self._limits.posts_per_request}.get(kind, 0)
        return most * self._limits.post_bytes

    def take(self, kind: str, body: bytes, respond: Respond) -> None:
        """See Taker. 200 with a receipt, or with a result for each; or a problem."""
        loop = asyncio.get_running_loop()
        if self._handover is None:
            self._handover = Handover(loop)
        waiting = Waiting(respond)
        try:
            entries = [body] if kind == ONE else _split(body, most=self._limits.posts_per_request)
        except Malformed as error:
            waiting.answer(problem_response(error))
            return
        waiting.expect(loop, self._limits.commit_s, partial(self._late, waiting, len(entries)))
        settle = self._settle_one if kind == ONE else self._settle_many
        handover = self._handover
        self._service.submit_many(
            entries, lambda answers: handover.call(partial(settle, waiting, answers))
        )

    def _late(self, waiting: Waiting, count: int) -> None:
        self._service.metrics.count(_OUTCOMES, {"outcome": "late"}, by=count)
        late = Unavailable("the post is not in the log yet; send the same bytes again", 5)
        waiting.answer(problem_response(late))

    def _count(self, answers: Sequence[Answer]) -> None:
        outcomes = Counter(map(_outcome, answers))
        for outcome, number in outcomes.items():
            self._service.metrics.count(_OUTCOMES, {"outcome": outcome}, by=number)

    def _settle_many(self, waiting: Waiting, answers: Sequence[Answer]) -> None:
        if waiting.is_answered:
            return
        self._count(answers)
        refused = next((a for a in answers if isinstance(a, Unavailable)), None)
        if refused is not None:
            waiting.answer(problem_response(refused))
        else:
            results = ", ".join([_result(answer) for answer in answers])
            waiting.answer(answer_json_text(f'{{"results": [{results}]}}', cache="no-store"))

    def _settle_one(self, waiting: Waiting, answers: Sequence[Answer]) -> None:
        if waiting.is_answered:
            return
        self._count(answers)
        (answer,) = answers
        if isinstance(answer, FieldpostError):
            waiting.answer(problem_response(answer))
            return
        self._unproven.append((waiting, answer))
        if len(self._unproven) == 1:
            # In the next turn of the loop, when all of the batch stand here.
            asyncio.get_running_loop().call_soon(self._prove_all)

    def _prove_all(self) -> None:
        some, self._unproven = self._unproven, []
        task = asyncio.get_running_loop().create_task(self._prove(some))
        self._proving.add(task)
        task.add_done_callback(self._proving.discard)

    async def _prove(self, some: Sequence[tuple[Waiting, Receipt]]) -> None:
        indexes = [receipt.index for _, receipt in some]
        try:
            texts = await asyncio.to_thread(self._service.proofs_of, indexes)
        except FieldpostError as error:
            for waiting, _ in some:
                waiting.answer(problem_response(error))
            return
        except Exception as bug:  # noqa: BLE001 - a bug costs its answers, which may be fetched later
            tell(_log, "receipts-not-made", posts=len(some), trace=bug)
            for waiting, _ in some:
                waiting.answer(bug_response())
            return
        for (waiting, receipt), text in zip(some, texts, strict=True):
            shown = json.dumps(text.decode())
            members = f'"index": {receipt.index}, "size": {receipt.size}, "receipt": {shown}'
            waiting.answer(answer_json_text(f"{{{members}}}", cache="no-store"))


def _split(body: bytes, *, most: int) -> list[bytes]:
    entries = cbor.split_sequence(body, most=most)
    if not entries:
        raise Malformed("an empty sequence of posts")
    return entries


def _outcome(answer: Answer) -> str:
    match answer:
        case Receipt():
            return "included"
        case Rejected():
            return answer.name
        case _:
            return "unavailable"


def _result(answer: Answer) -> str:
    """JSON; of receipts without the encoder, a tenth of the time."""
    match answer:
        case Receipt():
            return f'{{"index": {answer.index}, "size": {answer.size}}}'
        case Rejected():
            return json.dumps({"code": answer.code, "name": answer.name, "detail": answer.detail})
        case _:
            return json.dumps({"code": _MALFORMED, "name": "malformed", "detail": str(answer)})
