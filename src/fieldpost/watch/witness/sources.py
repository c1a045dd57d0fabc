# SPDX-License-Identifier: Apache-2.0
"""Which logs and boards a witness was told to watch, and what they say when it starts.

    board   ID            links come from the board's nodes when they ask
            URL           the first start learns the board id, later ones hold the URL to it
            ID@URL        the id is known beforehand
    log     vkey, tlog-policy file, list in the format logs/v0

At the start every URL is asked for its newest checkpoint. If this witness itself cosigned more
there than its database knows, the database is an old copy: what was signed is remembered first.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from fieldpost import cbor
from fieldpost.checkin.chains import LEAST_PART_BYTES
from fieldpost.checkin.views import view_board
from fieldpost.client.transport import HttpClient
from fieldpost.errors import FieldpostError, Malformed, Misconfigured, Unavailable, Untrusted
from fieldpost.journal import tell
from fieldpost.posts.envelope import decode_post
from fieldpost.records.identifiers import origin_of
from fieldpost.tlog.checkpoint import open_checkpoint
from fieldpost.tlog.note import MAX_NOTE_BYTES, VerifierKey, parse_note
from fieldpost.tlog.policy import MAX_POLICY_BYTES, parse_policy
from fieldpost.watch.witness.boards import FollowedBoard
from fieldpost.watch.witness.database import WitnessDb
from fieldpost.watch.witness.judging import Cosigned
from fieldpost.watch.witness.logs import (
    KnownLog,
    gather_logs,
    logs_of_policy,
    own_signatures,
    parse_log_key,
    parse_log_list,
)

_SILENCE_S: Final = 5.0
_TOTAL_S: Final = 20.0
_ASKED_AT_ONCE: Final = 16
_MOST_LINK_BYTES: Final = 4 * 1024 * 1024
_MOST_LINKS: Final = 16_384
_MOST_PARTS: Final = 64
_MOST_LIST_BYTES: Final = 16 * 1024 * 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BoardSource:
    """A board as an operator wrote it: its id, a URL, or both."""

    board: str | None
    url: str | None


def parse_board_source(text: str) -> BoardSource:
    """Read ID, URL or ID@URL. Raises Misconfigured."""
    before, at, after = text.partition("@")
    board, url = (before, after) if at and "#" in before else (None, text)
    if "://" not in url:
        board, url = text, ""
    try:
        if board is not None:
            origin_of(board)
        if url:
            HttpClient(url).close()
    except (Malformed, Misconfigured) as error:
        raise Misconfigured(f"{text!r} is no board: write its id, a URL, or ID@URL") from error
    return BoardSource(board, url.rstrip("/") or None)


def read_logs(
    vkeys: Sequence[str], policies: Sequence[Path], lists: Sequence[Path]
) -> dict[str, KnownLog]:
    """The logs of a command line, by origin. Raises Misconfigured, naming the file."""
    logs: list[KnownLog] = []
    for text in vkeys:
        try:
            key = parse_log_key(text)
        except Malformed as error:
            raise Misconfigured(f"--log {text}: {error}") from error
        logs.append(KnownLog(key.name, (key,)))
    for path in policies:
        logs += _read(path, MAX_POLICY_BYTES, lambda data: logs_of_policy(parse_policy(data)))
    for path in lists:
        logs += _read(path, _MOST_LIST_BYTES, parse_log_list)
    return gather_logs(logs)


def _read(path: Path, most: int, parse: Callable[[bytes], list[KnownLog]]) -> list[KnownLog]:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise Malformed(f"over {most} bytes")
        return parse(data)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}") from error
    except Malformed as error:
        raise Misconfigured(f"{path}: {error}") from error


def open_boards(sources: Iterable[BoardSource], db: WitnessDb) -> dict[str, FollowedBoard]:
    """The boards to follow, by origin, with every link that is known here or at their URLs.

    Raises Misconfigured for two boards of one origin, Untrusted for a URL that shows another board
    than before, Unavailable where a board's id was never learnt and its URL does not answer.
    """
    found: dict[str, FollowedBoard] = {}
    for source in sources:
        board = open_board(source, db)
        if board.origin in found:
            raise Misconfigured(f"{board.origin} is named twice; name each board once")
        found[board.origin] = board
    return found


def open_board(source: BoardSource, db: WitnessDb) -> FollowedBoard:
    """One board, as `open_boards` opens it."""
    known = source.board or (db.load_board(source.url) if source.url else None)
    if source.url is None:
        assert known is not None  # a source has an id or a URL
        return FollowedBoard(known, db.load_links(known))
    with HttpClient(source.url, timeout_s=_SILENCE_S, total_s=_TOTAL_S) as http:
        try:
            shown = _ask_id(http)
        except FieldpostError as error:
            if known is None:
                raise Unavailable(
                    f"{error}; the first start must learn which board it is"
                ) from error
            tell(_log, "board-not-asked", url=source.url, error=error)
            return FollowedBoard(known, db.load_links(known), f"{source.url}/log")
        if known is not None and shown != known:
            raise Untrusted(
                "wrong-board",
                f"{source.url} shows the board {shown}, and is to show {known}; find out who runs "
                "that address now",
            )
        board = FollowedBoard(shown, db.load_links(shown), f"{source.url}/log")
        db.save_board(source.url, shown)
        fresh = board.learn(_fetch_links(http, board.epoch))
        if fresh:
            db.add_links(shown, fresh)
    return board


def _ask_id(http: HttpClient) -> str:
    value = http.send("GET", "/v1/board").json()
    board = value.get("board") if isinstance(value, dict) else None
    if not isinstance(board, str):
        raise Unavailable(f"{http.base_url} does not say which board it is")
    try:
        origin_of(board)
    except Malformed as error:
        raise Unavailable(f"{http.base_url} says no board id: {error}") from error
    return board


def _fetch_links(http: HttpClient, since: int) -> list[bytes]:
    """The links after an epoch, oldest first; what they are worth the caller finds out."""
    links: list[bytes] = []
    for _ in range(_MOST_PARTS):
        data = http.fetch(f"/v1/board?since={since}", most_bytes=_MOST_LINK_BYTES)
        try:
            part = cbor.decode_byte_strings(data, most=_MOST_LINKS)
            links += part
            if len(data) < LEAST_PART_BYTES or not part:
                return links
            since = view_board(decode_post(part[-1]).statement.payload).epoch
        except (Malformed, Untrusted) as error:
            raise Unavailable(f"{http.base_url} answers no links: {error}") from error
    raise Unavailable(f"{http.base_url} answers links without an end")


def remember_own(db: WitnessDb, vkeys: tuple[VerifierKey, ...], urls: dict[str, str]) -> None:
    """Ask the `urls` of logs (by origin) what this witness cosigned there, and remember more.

    Nobody has to answer. Raises Unavailable if the database fails.
    """
    heads = db.load_heads()
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        found = list(pool.map(partial(_ask_own, vkeys), urls.items()))
    behind: dict[str, tuple[Cosigned, bytes]] = {}
    for origin, signed in zip(urls, found, strict=True):
        known = heads.get(origin)
        if signed is None or signed[0].size <= (known.size if known else 0):
            continue
        head, note = signed
        time = max(head.timestamp, known.timestamp if known else 0)
        place = known.place if known else None
        tell(
            _log,
            "witness-was-behind",
            origin=origin,
            knew=known.size if known else 0,
            signed=head.size,
        )
        behind[origin] = Cosigned(size=head.size, root=head.root, timestamp=time, place=place), note
    if behind:
        db.save_heads(behind)


def _ask_own(
    vkeys: tuple[VerifierKey, ...], where: tuple[str, str]
) -> tuple[Cosigned, bytes] | None:
    origin, url = where
    try:
        with HttpClient(url, timeout_s=_SILENCE_S, total_s=_TOTAL_S) as http:
            note = http.fetch("/checkpoint", most_bytes=MAX_NOTE_BYTES)
        if not own_signatures(parse_note(note), vkeys):
            return None
        checkpoint, verified = open_checkpoint(note, vkeys, origin=origin, extensions=True)
    except FieldpostError as error:
        tell(_log, "log-not-asked", url=url, error=error)
        return None
    timestamp = max(signature.timestamp or 0 for signature in verified)
    return Cosigned(size=checkpoint.size, root=checkpoint.root, timestamp=timestamp), note
