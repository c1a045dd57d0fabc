# SPDX-License-Identifier: Apache-2.0
"""What commands ask of a board, over its public API alone.

Receipts are verified on the spot: against the keys of the board's own record, which must hash to
the board id that this maker is bound to.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from fieldpost import cbor, durable
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.cli.console import note
from fieldpost.cli.maker_home import MakerHome
from fieldpost.client.log import Log
from fieldpost.client.publisher import submit_post
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Malformed, Misconfigured, Rejected, Untrusted
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.records.board import BoardRecord, decode_board_record
from fieldpost.records.limits import MAX_ENTRY_BYTES, MAX_PROOF_BYTES
from fieldpost.tlog import policy
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.offline import parse_offline_proof, verify_offline_proof
from fieldpost.tlog.policy import Group, Policy, Witness

_MOST_JSON = 8 * 1024 * 1024
_MOST_LINKS = 16 * 1024 * 1024


class Board:
    """One board behind one URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.http = HttpClient(self.url)
        self._view: dict[str, Any] | None = None

    def json(self, path: str) -> Any:
        """A JSON document of the API. Raises NotFound, Unavailable, Malformed."""
        try:
            return json.loads(self.http.fetch(path, most_bytes=_MOST_JSON))
        except ValueError as error:
            raise Malformed(f"{self.url}{path} answered something that is no JSON") from error

    def view(self) -> dict[str, Any]:
        """`/v1/board`, asked once."""
        if self._view is None:
            self._view = self.json("/v1/board")
        return self._view

    @property
    def id(self) -> str:
        """The board id, as the node says it."""
        return str(self.view()["board"])

    def links(self, path: str, since: int = -1) -> list[bytes]:
        """Entries of a chain of links after epoch `since`, oldest first."""
        value = cbor.decode(self.http.fetch(f"{path}?since={since}", most_bytes=_MOST_LINKS))
        if not isinstance(value, tuple) or not all(isinstance(item, bytes) for item in value):
            raise Malformed(f"{path} must answer an array of entries")
        return [item for item in value if isinstance(item, bytes)]

    def last_link(self, path: str) -> tuple[bytes, bytes]:
        """(payload, digest of the entry) of the last link of a chain."""
        links = self.links(path)
        if not links:
            raise Malformed(f"{path} answered no links")
        return decode_post(links[-1]).statement.payload, sha256(links[-1]).digest()

    def record(self) -> tuple[BoardRecord, bytes]:
        """The board's record and link digest, checked against the board id's genesis."""
        links = self.links("/v1/board")
        if not links or not self.id.endswith("#" + leaf_hash(links[0])[:16].hex()):
            raise Untrusted("wrong-board", f"{self.url} shows another genesis than {self.id}")
        record = decode_board_record(decode_post(links[-1]).statement.payload)
        return record, sha256(links[-1]).digest()

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


def bound_board(home: MakerHome, *, as_json: bool) -> Board:
    """The board on which the maker of `home` is registered; refuses another one at its URL.

    What an earlier command left in the outbox is sent first, so that nonces stay in order.
    """
    settings = home.settings()
    if settings.board_url is None:
        raise Misconfigured("not registered yet; run `fieldpost maker register --board URL`")
    board = Board(settings.board_url)
    if board.id != settings.board:
        raise Untrusted(
            "wrong-board", f"{board.url} is board {board.id}, but you are bound to {settings.board}"
        )
    _check_history(home, board)
    flush(home, board, as_json=as_json)
    return board


def _check_history(home: MakerHome, board: Board) -> None:
    """The board's checkpoint must extend the one that this maker saw last."""
    record, _ = board.record()
    remembered = home.path / "checkpoint"
    log = Log(
        board.http,
        origin=record.origin,
        keys=[operator.log_key for operator in record.operators],
        note=remembered.read_bytes() if remembered.exists() else None,
    )
    log.advance()
    if log.note is not None:
        durable.write_file(remembered, log.note)


def publish(home: MakerHome, board: Board, post: Post) -> tuple[int, Path]:
    """Save a signed post, send it, verify the receipt. Returns (index, receipt file)."""
    return _send(home, board, home.keep(post.statement.kind, post.encode()))


def flush(home: MakerHome, board: Board, *, as_json: bool) -> None:
    """Send what an interrupted command left in the outbox, oldest first."""
    for path in home.pending():
        note(f"sending {path.name}, left from an interrupted command", as_json=as_json)
        _send(home, board, path)


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
