# SPDX-License-Identifier: Apache-2.0
"""What a maker's home remembers of a board, and every node of it must live up to.

HOME/checkpoints/ID        the newest checkpoint that was seen: later ones extend it
HOME/checkpoints/ID.urls   who answered last, then where its record says that nodes are
"""

from collections.abc import Iterable
from typing import Final

from fieldpost import durable
from fieldpost.cli.board_access import payload_of
from fieldpost.cli.board_chain import fetch_object, read_chain
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.views import BoardView
from fieldpost.client.log import Log
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Misbehaviour, Untrusted
from fieldpost.records.board import decode_board_record
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.treehead import parse_checkpoint

_MOST_URLS: Final = 64


def own_urls(home: MakerHome) -> tuple[str, ...]:
    """Where the board is on which a maker acts; nothing where there is no maker, or no board."""
    if not (home.path / "maker.json").exists():
        return ()
    settings = home.settings()
    if settings.board is None:
        return ()
    return BoardMemory(home, settings.board).urls(settings.board_urls)


class BoardMemory:
    """One board as the home of a maker knows it."""

    def __init__(self, home: MakerHome, board: str) -> None:
        self._home = home
        self._board = board
        self._path = home.path / "checkpoints" / board.rpartition("#")[2]
        self._urls = self._path.with_name(f"{self._path.name}.urls")

    def check(self, client: HttpClient) -> None:
        """A node may be asked: it shows this board, no older than it was seen before.

        Raises Untrusted("wrong-board", "not-newer", …), Misbehaviour with its evidence kept.
        """
        found = BoardView.parse(fetch_object(client, "/v1/board")).board
        if found != self._board:
            raise Untrusted(
                "wrong-board",
                f"{client.base_url} is board {found}, but you are registered on {self._board}; "
                "find out who runs that address now, or correct its URL in "
                f"{self._home.path}/maker.json",
            )
        self._extend(client, None)

    def take(self, client: HttpClient, note: bytes) -> None:
        """Remember the checkpoint of a verified receipt: no node may be behind it from now on."""
        self._extend(client, note)

    def _extend(self, client: HttpClient, note: bytes | None) -> None:
        links = read_chain(client, self._board)
        records = [decode_board_record(payload_of(link)) for link in links]
        log = Log(
            client,
            origin=records[-1].origin,
            # Of former operators and keys too: what was seen then was signed by those of then.
            keys={operator.log_key: None for record in records for operator in record.operators},
            note=self._path.read_bytes() if self._path.exists() else None,
        )
        before, seen = log.note, log.checkpoint
        try:
            if note is None:
                log.advance()
            elif seen is None or parse_checkpoint(parse_note(note).text).size >= seen.size:
                log.extend_to(note)
        except Misbehaviour as found:
            kept = self._home.keep_evidence(found.evidence)
            words = f"{found.detail}; both signed notes are kept in {kept}"
            raise Misbehaviour(found.reason, words, found.evidence) from found
        if log.note is not None and log.note != before:
            durable.make_dirs(self._path.parent)
            durable.write_file(self._path, log.note)

    def urls(self, own: Iterable[str]) -> tuple[str, ...]:
        """Where to ask: what the maker named (`own`) and what the board did, last good first."""
        kept = self._urls.read_text().split()[:_MOST_URLS] if self._urls.exists() else []
        known = (*own, *kept[1:])
        return tuple(dict.fromkeys([*(url for url in kept[:1] if url in known), *known]))

    def keep_urls(self, *, answered: str, named: Iterable[str]) -> None:
        """Remember who answered, to be asked first the next time, and whom the board named."""
        text = "".join(f"{url}\n" for url in (answered, *named))
        if not self._urls.exists() or self._urls.read_text() != text:
            durable.make_dirs(self._urls.parent)
            durable.write_file(self._urls, text.encode())
