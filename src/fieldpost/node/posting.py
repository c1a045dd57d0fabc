# SPDX-License-Identifier: Apache-2.0
"""Taking posts: one body in, an answer once everything in it is durable and published.

The engine answers a batch at once, on its thread; here the answers of a batch become responses
together: one wake-up of the event loop, one reading of tiles, one look at the checkpoint.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from starlette.responses import Response

from fieldpost import cbor
from fieldpost.engines.base import Answer, Receipt
from fieldpost.errors import FieldpostError, Malformed, Rejected, Unavailable
from fieldpost.journal import tell
from fieldpost.node.api.answers import JsonText
from fieldpost.node.api.problems import bug_response, problem_response
from fieldpost.node.service import NodeService
from fieldpost.node.taking import Owed, Respond

ONE: Final = "application/cose"
MANY: Final = "application/cbor-seq"
_MALFORMED: Final = 1
_OUTCOMES: Final = "fieldpost_posts_total"

_Settled = Sequence[tuple[Respond, Sequence[Answer]]]

_log = logging.getLogger(__name__)


class PostDesk:
    """A Taker of posts, one in a body or a sequence of them."""

    def __init__(self, service: NodeService) -> None:
        self._service = service
        self._limits = service.limits
        self._ones = self._owed(self._settle_ones)
        self._many = self._owed(self._settle_many)
        self._proving: set[asyncio.Task[None]] = set()

    def _owed(self, settle: Callable[[_Settled], None]) -> Owed[Sequence[Answer]]:
        return Owed(self._limits.commit_s, settle=settle, late=self._late)

    def most_bytes(self, kind: str) -> int:
        """See Taker."""
        most = {ONE: 1, MANY: self._limits.posts_per_request}.get(kind, 0)
        return most * self._limits.post_bytes

    def take(self, kind: str, body: bytes, respond: Respond) -> None:
        """See Taker. 200 with a receipt, or with a result for each; or a problem."""
        if kind == ONE:
            self._service.submit_many([body], self._ones.owe(respond))
            return
        try:
            entries = _split(body, most=self._limits.posts_per_request)
        except Malformed as error:
            respond(problem_response(error))
            return
        self._service.submit_many(entries, self._many.owe(respond, len(entries)))

    def _late(self, count: int) -> Response:
        self._service.metrics.count(_OUTCOMES, {"outcome": "late"}, by=count)
        return problem_response(
            Unavailable("the post is not in the log yet; send the same bytes again", 5)
        )

    def _count(self, answers: Iterable[Answer]) -> None:
        outcomes = Counter(map(_outcome, answers))
        for outcome, number in outcomes.items():
            self._service.metrics.count(_OUTCOMES, {"outcome": outcome}, by=number)

    def _settle_many(self, settled: _Settled) -> None:
        for respond, answers in settled:
            self._count(answers)
            refused = next((a for a in answers if isinstance(a, Unavailable)), None)
            if refused is not None:
                self._many.pay(respond, problem_response(refused))
            else:
                results = ", ".join([_result(answer) for answer in answers])
                self._many.pay(respond, JsonText(f'{{"results": [{results}]}}'))

    def _settle_ones(self, settled: _Settled) -> None:
        self._count(answer for _, (answer,) in settled)
        included: list[tuple[Respond, Receipt]] = []
        for respond, (answer,) in settled:
            if isinstance(answer, Receipt):
                included.append((respond, answer))
            else:
                self._ones.pay(respond, problem_response(answer))
        if included:
            task = asyncio.get_running_loop().create_task(self._prove(included))
            self._proving.add(task)
            task.add_done_callback(self._proving.discard)

    async def _prove(self, some: Sequence[tuple[Respond, Receipt]]) -> None:
        indexes = [receipt.index for _, receipt in some]
        try:
            texts = await asyncio.to_thread(self._service.proofs_of, indexes)
        except FieldpostError as error:
            for respond, _ in some:
                self._ones.pay(respond, problem_response(error))
            return
        except Exception as bug:  # noqa: BLE001 - a bug costs its answers, which may be fetched later
            tell(_log, "receipts-not-made", posts=len(some), trace=bug)
            for respond, _ in some:
                self._ones.pay(respond, bug_response())
            return
        for (respond, receipt), shown in zip(some, json_of_proofs(texts), strict=True):
            members = f'"index": {receipt.index}, "size": {receipt.size}, "receipt": {shown}'
            self._ones.pay(respond, JsonText(f"{{{members}}}"))


def json_of_proofs(proofs: Iterable[bytes]) -> Iterator[str]:
    """Proofs of one checkpoint as JSON strings: the checkpoint, which is most of each, once.

    Before it stand lines of words, digits and base64, of which JSON writes only the ends otherwise.
    """
    notes: dict[bytes, str] = {}
    for proof in proofs:
        lines, _, note = proof.partition(b"\n\n")
        if note not in notes:
            notes[note] = json.dumps("\n\n" + note.decode())[1:]
        head = lines.decode("ascii").replace("\n", "\\n")
        yield f'"{head}{notes[note]}'


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
