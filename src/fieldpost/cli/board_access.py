# SPDX-License-Identifier: Apache-2.0
"""What commands ask of a board, over its public API alone, at whichever of its nodes answers.

A question goes to one node after the other until one gives what can be believed; the next question
begins with the node that answered last. A node that cannot be reached is not waited for again for a
while. Where somebody knows how far the board is, nodes that are behind are passed over, and waited
for a little if all are: so what one node took is there for whoever asks another.

Receipts are verified on the spot: against the keys of the board's own record, which must hash to
the board id that this maker is bound to.
"""

import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final, TypeVar

import click

from fieldpost.checkin.bundle import decode_bundle
from fieldpost.cli.board_chain import fetch_links, fetch_object, read_chain
from fieldpost.cli.refusals import name_all
from fieldpost.cli.views import BoardView, ClassView, ReleaseRow
from fieldpost.client.publisher import submit_post
from fieldpost.client.sources import Sources
from fieldpost.client.transport import MIB, HttpClient
from fieldpost.errors import Malformed, NotFound, Unavailable, Untrusted
from fieldpost.posts.envelope import decode_post
from fieldpost.records.board import BoardRecord, decode_board_record
from fieldpost.records.limits import MAX_PROOF_BYTES
from fieldpost.tlog import policy
from fieldpost.tlog.note import MAX_NOTE_BYTES
from fieldpost.tlog.offline import OfflineProof, parse_offline_proof, verify_offline_proof
from fieldpost.tlog.policy import Group, Policy, Witness

T = TypeVar("T")
_MOST_JSON: Final = 8 * MIB
# Lines upwards are slow. With other nodes to ask, nobody waits that long for one: a post is sent
# again elsewhere without harm.
_SILENCE_S: Final = 60.0
_ONE_OF_SEVERAL_S: Final = 15.0
_TOTAL_S: Final = 1800.0
_AWAY_S: Final = 60.0
# How long nodes have to learn what another one took.
_BEHIND_S: Final = 10.0
_PAUSE_S: Final = 0.25


class Board:
    """One board behind one or several URLs.

    `check` is asked about every node before the first question, and again after `recheck`: it
    raises for a node that is not to be asked. Without one, several URLs must at least name the same
    board.
    """

    def __init__(
        self,
        *urls: str,
        silence_s: float | None = None,
        check: Callable[[HttpClient], None] | None = None,
    ) -> None:
        one = _SILENCE_S if len(urls) == 1 else _ONE_OF_SEVERAL_S
        self._sources = Sources(
            urls,
            timeout_s=silence_s or one,
            total_s=_TOTAL_S,
            user_agent="fieldpost",
            conclude=name_all,
        )
        context = click.get_current_context(silent=True)
        if context is not None:
            context.call_on_close(self.close)
        self._check = check
        self._checked: set[str] = set()
        self._away: dict[str, tuple[float, Unavailable]] = {}
        self._id: str | None = None
        self._json: dict[str, object] | None = None

    def close(self) -> None:
        """Give the connections back."""
        self._sources.close()

    @property
    def urls(self) -> tuple[str, ...]:
        """Every node's URL, in the order in which they are asked: what answered last first."""
        return self._sources.urls

    @property
    def url(self) -> str:
        """The URL that is asked first."""
        return self._sources.urls[0]

    def add_urls(self, urls: Iterable[str]) -> None:
        """Ask there too, after the others."""
        self._sources.replace((*self.urls, *urls))

    def ask(self, question: Callable[[HttpClient], T]) -> T:
        """The first answer of a node that `question` does not refuse.

        Raises what the question raises; of several nodes one error that names each of them.
        """
        until = time.monotonic() + _BEHIND_S
        while True:
            try:
                return self._sources.ask(lambda client: self._ask_one(client, question))
            except Untrusted as error:
                several = len(self.urls) > 1
                if error.reason != "not-newer" or not several or time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_S)

    def recheck(self) -> None:
        """Let every node show again that it may be asked: more is known of the board by now."""
        self._checked.clear()

    def _ask_one(self, client: HttpClient, question: Callable[[HttpClient], T]) -> T:
        now, url = time.monotonic(), client.base_url
        if url in self._away and now < self._away[url][0] and len(self._away) < len(self.urls):
            raise self._away[url][1]
        try:
            if url not in self._checked:
                self._admit(client)
                self._checked.add(url)
            answer = question(client)
        except Unavailable as error:
            self._away[url] = now + _AWAY_S, error
            raise
        self._away.pop(url, None)
        return answer

    def _admit(self, client: HttpClient) -> None:
        if self._check is not None:
            self._check(client)
        elif len(self.urls) > 1:
            found = BoardView.parse(fetch_object(client, "/v1/board")).board
            if self._id not in (None, found):
                raise Untrusted(
                    "wrong-board", f"{client.base_url} is board {found}, and another is {self._id}"
                )
            self._id = found

    def fetch(self, path: str, *, most_bytes: int, judge: Callable[[bytes], T]) -> T:
        """What `judge` makes of the bytes at `path`; what it refuses, another node may have."""
        return self.ask(lambda client: judge(client.fetch(path, most_bytes=most_bytes)))

    def json(self, path: str) -> object:
        """A JSON document of the API. Raises NotFound, Unavailable."""
        return self.ask(lambda client: client.send("GET", path, most_bytes=_MOST_JSON).json())

    def json_object(self, path: str) -> dict[str, object]:
        """A JSON object of the API. Raises NotFound, Unavailable."""
        return self.ask(lambda client: fetch_object(client, path))

    def view_json(self) -> dict[str, object]:
        """`/v1/board`, asked once."""
        if self._json is None:
            self._json = self.json_object("/v1/board")
        return self._json

    def view(self) -> BoardView:
        """`/v1/board`, read."""
        return BoardView.parse(self.view_json())

    @property
    def id(self) -> str:
        """The board id, as the node says it."""
        return self.view().board

    def class_view(self, class_: bytes) -> ClassView:
        """A class as the node shows it. Raises NotFound with the next step."""
        try:
            return ClassView.parse(self.json(f"/v1/classes/{class_.hex()}"))
        except NotFound:
            raise NotFound(
                f"the board has no class {class_.hex()}; add it with `fieldpost class add`, or "
                "look for the name with `fieldpost maker show`"
            ) from None

    def releases(self, class_: bytes) -> list[ReleaseRow]:
        """The releases of a class, newest first."""
        value = self.json(f"/v1/classes/{class_.hex()}/releases")
        if not isinstance(value, list):
            raise Unavailable(f"{self.url} answered no list of releases; ask another node")
        return [ReleaseRow.parse(row) for row in value]

    def head(self) -> tuple[int, int]:
        """(size, time) of the newest checkpoint, under the quorum of the board's own record."""
        record, _ = self.record()

        def verify(note: bytes) -> tuple[int, int]:
            checkpoint, times = policy_of(record).verify(note, origin=record.origin)
            return checkpoint.size, min(times.values())

        return self.fetch("/log/checkpoint", most_bytes=MAX_NOTE_BYTES, judge=verify)

    def links(self, path: str, since: int = -1) -> list[bytes]:
        """Entries of a chain of links after epoch `since`, oldest first, to the chain's end."""
        return self.ask(lambda client: fetch_links(client, path, since))

    def record(self) -> tuple[BoardRecord, bytes]:
        """The board's record and link digest, checked against the board id's genesis."""
        last = self._links()[-1]
        return decode_board_record(payload_of(last)), sha256(last).digest()

    def _links(self) -> list[bytes]:
        return self.ask(lambda client: read_chain(client, self.id))

    def value(self, key: bytes) -> bytes | None:
        """A value of the state map, as the node says it; not verified."""
        return self.fetch(
            f"/v1/proof/{key.hex()}",
            most_bytes=MAX_PROOF_BYTES,
            judge=lambda data: decode_bundle(data, most_bytes=MAX_PROOF_BYTES).value,
        )

    def submit(self, entry: bytes) -> tuple[bytes, OfflineProof]:
        """Send a post to any node, and verify its receipt; the receipt, and as it is read.

        The same bytes give the same receipt at every node, also if the first answer was lost.
        Raises Rejected, Malformed, Untrusted, Unavailable.
        """

        def question(client: HttpClient) -> tuple[bytes, OfflineProof]:
            receipt = submit_post(client, entry).receipt
            try:
                return receipt, self._judge_receipt(client, entry, receipt)
            except Malformed as error:
                raise Unavailable(f"{client.base_url} answered no receipt: {error}") from error

        return self.ask(question)

    def verify_receipt(self, entry: bytes, receipt: bytes) -> int:
        """Check a tlog-proof under the board's own keys; returns the entry's index."""
        return self.ask(lambda client: self._judge_receipt(client, entry, receipt)).index

    def _judge_receipt(self, client: HttpClient, entry: bytes, receipt: bytes) -> OfflineProof:
        record = decode_board_record(payload_of(read_chain(client, self.id)[-1]))
        proof = parse_offline_proof(receipt)
        verify_offline_proof(entry, proof, policy_of(record), origin=record.origin)
        return proof


def payload_of(link: bytes) -> bytes:
    """The record that a link states, encoded."""
    return decode_post(link).statement.payload


def policy_of(record: BoardRecord) -> Policy:
    """A C2SP policy that says what a board record says: quorum of operators, and witnesses."""
    operators = tuple(
        Witness(f"operator-{number}", operator.cosigner_keys[0])
        for number, operator in enumerate(record.operators, 1)
    )
    witnesses = tuple(
        Witness(f"witness-{number}", witness.key)
        for number, witness in enumerate(record.witnesses, 1)
    )
    groups = [Group("operators", record.quorum, tuple(w.name for w in operators))]
    if record.witnesses_needed:
        names = tuple(w.name for w in witnesses)
        groups.append(Group("witnesses", record.witnesses_needed, names))
        groups.append(Group("both", 2, ("operators", "witnesses")))
    return Policy(
        logs=tuple(policy.Log(operator.log_key) for operator in record.operators),
        witnesses=operators + witnesses,
        groups=tuple(groups),
        quorum=groups[-1].name,
    )
