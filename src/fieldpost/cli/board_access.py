# SPDX-License-Identifier: Apache-2.0
"""What commands ask of a board, over its public API alone.

Receipts are verified on the spot: against the keys of the board's own record, which must hash to
the board id that this maker is bound to.
"""

from hashlib import sha256
from pathlib import Path

import click

from fieldpost import cbor, durable
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.checkin.chains import LEAST_PART_BYTES
from fieldpost.cli.console import note
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.views import BoardView, ClassView, ReleaseRow
from fieldpost.client.log import Log
from fieldpost.client.publisher import submit_post
from fieldpost.client.transport import HttpClient
from fieldpost.errors import (
    Malformed,
    Misbehaviour,
    Misconfigured,
    NotFound,
    Rejected,
    Unavailable,
    Untrusted,
)
from fieldpost.ledger.links import linked_record
from fieldpost.posts.envelope import Post, Statement, decode_post
from fieldpost.records.board import BoardRecord, decode_board_record
from fieldpost.records.limits import MAX_ENTRY_BYTES, MAX_PROOF_BYTES
from fieldpost.tlog import policy
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import MAX_NOTE_BYTES
from fieldpost.tlog.offline import parse_offline_proof, verify_offline_proof
from fieldpost.tlog.policy import Group, Policy, Witness

_MOST_JSON = 8 * 1024 * 1024
_MOST_LINK_BYTES = 4 * 1024 * 1024
_MOST_LINKS = 16_384
_MOST_PARTS = 64
# Lines upwards are slow.
_SILENCE_S = 60.0
_TOTAL_S = 1800.0


class Board:
    """One board behind one URL."""

    def __init__(self, url: str, *, silence_s: float = _SILENCE_S) -> None:
        self.url = url.rstrip("/")
        self.http = HttpClient(self.url, timeout_s=silence_s, total_s=_TOTAL_S)
        context = click.get_current_context(silent=True)
        if context is not None:
            context.call_on_close(self.http.close)
        self._json: dict[str, object] | None = None

    def json(self, path: str) -> object:
        """A JSON document of the API. Raises NotFound, Unavailable."""
        return self.http.send("GET", path, most_bytes=_MOST_JSON).json()

    def json_object(self, path: str) -> dict[str, object]:
        """A JSON object of the API. Raises NotFound, Unavailable."""
        value = self.json(path)
        if not isinstance(value, dict):
            raise Unavailable(f"{self.url}{path} answered no JSON object; ask another node")
        return value

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
        note = self.http.fetch("/log/checkpoint", most_bytes=MAX_NOTE_BYTES)
        checkpoint, times = policy_of(record).verify(note, origin=record.origin)
        return checkpoint.size, min(times.values())

    def links(self, path: str, since: int = -1) -> list[bytes]:
        """Entries of a chain of links after epoch `since`, oldest first, to the chain's end."""
        links: list[bytes] = []
        for _ in range(_MOST_PARTS):
            data = self.http.fetch(f"{path}?since={since}", most_bytes=_MOST_LINK_BYTES)
            try:
                links += cbor.decode_byte_strings(data, most=_MOST_LINKS)
                if len(data) < LEAST_PART_BYTES:
                    return links
                since = _epoch_of(links[-1])
            except Malformed as error:
                raise Unavailable(f"{self.url}{path} answered no links: {error}") from error
        raise Unavailable(f"{self.url}{path} answers links without an end; ask another node")

    def record(self) -> tuple[BoardRecord, bytes]:
        """The board's record and link digest, checked against the board id's genesis."""
        last = self._links()[-1]
        return decode_board_record(payload_of(last)), sha256(last).digest()

    def records(self) -> list[BoardRecord]:
        """The board's record of now and all before it, oldest first, checked in the same way."""
        return [decode_board_record(payload_of(link)) for link in self._links()]

    def _links(self) -> list[bytes]:
        links = self.links("/v1/board")
        if not links or not self.id.endswith("#" + leaf_hash(links[0])[:16].hex()):
            raise Untrusted(
                "wrong-board",
                f"{self.url} shows another genesis than that of {self.id}; ask another node",
            )
        return links

    def value(self, key: bytes) -> bytes | None:
        """A value of the state map, as the node says it; not verified."""
        data = self.http.fetch(f"/v1/proof/{key.hex()}", most_bytes=MAX_PROOF_BYTES)
        return decode_bundle(data, most_bytes=MAX_PROOF_BYTES).value

    def verify_receipt(self, entry: bytes, receipt: bytes) -> int:
        """Check a tlog-proof under the board's own keys; returns the entry's index."""
        record, _ = self.record()
        proof = parse_offline_proof(receipt)
        verify_offline_proof(entry, proof, policy_of(record), origin=record.origin)
        return proof.index


def payload_of(link: bytes) -> bytes:
    """The record that a link states, encoded."""
    return decode_post(link).statement.payload


def _epoch_of(link: bytes) -> int:
    try:
        linked = linked_record(decode_post(link))
    except (AssertionError, KeyError, ValueError) as error:
        raise Malformed("the last one is none") from error
    if linked is None:
        raise Malformed("the last one is none")
    return linked[1]


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


def bound_board(home: MakerHome, *, as_json: bool, board_id: str | None = None) -> Board:
    """The board that the maker of `home` acts on; refuses another one at its URL.

    `board_id`: another one that it knows. What an earlier command left in the outbox is sent first,
    so that nonces stay in order.
    """
    settings = home.settings()
    if settings.board is None and board_id is None:
        raise Misconfigured("not registered yet; run `fieldpost maker register --board URL`")
    wanted = board_id or str(settings.board)
    url = home.boards().get(wanted)
    if url is None:
        raise NotFound(f"{home.path}/maker.json knows no URL of board {wanted}")
    board = Board(url)
    if board.id != wanted:
        raise Untrusted(
            "wrong-board",
            f"{board.url} is board {board.id}, but you are registered on {wanted}; "
            f"find out who runs that address now, or correct its URL in {home.path}/maker.json",
        )
    _check_history(home, board)
    flush(home, board, as_json=as_json)
    return board


def _check_history(home: MakerHome, board: Board) -> None:
    """The board's checkpoint must extend the one that this maker saw last."""
    records = board.records()
    folder = home.path / "checkpoints"
    remembered = folder / board.id.rpartition("#")[2]
    log = Log(
        board.http,
        origin=records[-1].origin,
        # Of former operators and keys too: what was seen then was signed by those of then.
        keys={operator.log_key: None for record in records for operator in record.operators},
        note=remembered.read_bytes() if remembered.exists() else None,
    )
    try:
        log.advance()
    except Misbehaviour as found:
        kept = home.keep_evidence(found.evidence)
        words = f"{found.detail}; both signed notes are kept in {kept}"
        raise Misbehaviour(found.reason, words, found.evidence) from found
    if log.note is not None:
        durable.make_dirs(folder)
        durable.write_file(remembered, log.note)


def publish(home: MakerHome, board: Board, post: Post) -> tuple[int, Path]:
    """Save a signed post, send it, verify the receipt. Returns (index, receipt file)."""
    return _send(home, board, home.keep(post.statement.kind, post.encode()))


def flush(home: MakerHome, board: Board, *, as_json: bool) -> None:
    """Send what an interrupted command left in the outbox, oldest first."""
    for path in home.pending():
        statement = _statement(path)
        audience = statement.audience
        if audience != board.id:
            # A link goes first: what other boards are told next depends on it.
            if audience in home.boards() and statement.kind not in ("maker.register", "maker.set"):
                note(f"{path.name} waits for {audience}: `fieldpost maker use`", as_json=as_json)
                continue
            raise Misconfigured(
                f"{path} was signed for board {audience} and perhaps sent there; finish it on that "
                "board, or move the file away if you are sure that nobody has it"
            )
        note(f"sending {path.name}, left from an interrupted command", as_json=as_json)
        _send(home, board, path)


def _statement(path: Path) -> Statement:
    try:
        return decode_post(path.read_bytes()).statement
    except Malformed as error:
        raise Misconfigured(f"{path} is no post ({error}); move it away") from error


def _send(home: MakerHome, board: Board, path: Path) -> tuple[int, Path]:
    entry = path.read_bytes()
    if len(entry) > MAX_ENTRY_BYTES:
        raise Malformed(f"{path} is too large for a post; remove it")
    try:
        receipt = submit_post(board.http, entry).receipt
    except (Rejected, Malformed):
        home.refuse(path)
        raise
    index = board.verify_receipt(entry, receipt)
    return index, home.acknowledge(path, receipt)
