# SPDX-License-Identifier: Apache-2.0
"""The board on which a maker acts, and posts to it: saved, sent to any node, acknowledged.

Every node must show the board that this home is bound to, and no older than it was seen before. The
operators' own addresses, which the board's record names, are asked as well as the maker's.
"""

from collections.abc import Sequence
from pathlib import Path

from fieldpost.cli.board_access import Board
from fieldpost.cli.board_memory import BoardMemory
from fieldpost.cli.console import note
from fieldpost.cli.maker_home import MakerHome
from fieldpost.errors import Malformed, Misconfigured, NotFound, Rejected, Unavailable
from fieldpost.posts.envelope import Post, Statement, decode_post
from fieldpost.records.board import BoardRecord
from fieldpost.records.limits import MAX_ENTRY_BYTES, MAX_URLS


def urls_of(record: BoardRecord) -> list[str]:
    """The first address of every operator."""
    return [operator.urls[0].rstrip("/") for operator in record.operators if operator.urls]


def device_urls(board: Board, named: Sequence[str]) -> tuple[str, ...]:
    """Where devices are to check in if their maker says nothing else: at the nodes that it named,
    and at every operator's."""
    record, _ = board.record()
    return tuple(dict.fromkeys((*named, *urls_of(record))))[:MAX_URLS]


def bound_board(home: MakerHome, *, as_json: bool, board_id: str | None = None) -> Board:
    """The board that the maker of `home` acts on; refuses another one at its URLs.

    `board_id`: another one that it knows. What an earlier command left in the outbox is sent first,
    so that nonces stay in order.
    """
    settings = home.settings()
    if settings.board is None and board_id is None:
        raise Misconfigured("not registered yet; run `fieldpost maker register --board URL`")
    wanted = board_id or str(settings.board)
    urls = settings.boards.get(wanted)
    if not urls:
        raise NotFound(f"{home.path}/maker.json knows no URL of board {wanted}")
    board = known_board(home, wanted, urls)
    flush(home, board, as_json=as_json)
    return board


def known_board(home: MakerHome, board_id: str, urls: tuple[str, ...]) -> Board:
    """A board that `home` has seen, or is about to: at `urls`, and where its operators say."""
    memory = BoardMemory(home, board_id)
    board = Board(*memory.urls(urls), check=memory.check)
    record, _ = board.record()
    memory.keep_urls(answered=board.url, named=urls_of(record))
    board.add_urls(urls_of(record))
    return board


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
            known = home.settings().boards
            if audience in known and statement.kind not in ("maker.register", "maker.set"):
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
        receipt, proof = board.submit(entry)
    except (Rejected, Malformed):
        home.refuse(path)
        raise
    kept = home.acknowledge(path, receipt)
    memory = BoardMemory(home, board.id)
    try:
        board.ask(lambda client: memory.take(client, proof.checkpoint_note))
    except Unavailable as error:
        note(f"the post is on the board, and then no node answered: {error}", as_json=False)
    board.recheck()
    return proof.index, kept
