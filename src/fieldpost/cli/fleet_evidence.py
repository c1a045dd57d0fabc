# SPDX-License-Identifier: Apache-2.0
"""`fleet evidence`: what devices were shown, compared with what the board shows everybody, and the
evidence that they sent."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import click

from fieldpost.checkin.comparing import Fit, History, Verdict, compare_reported
from fieldpost.checkin.evidence import board_records, decode_evidence, verify_evidence
from fieldpost.cli.board_access import Board, policy_of
from fieldpost.cli.console import json_option, note, show_json, table
from fieldpost.client.fleet_evidence import fetch_all_evidence
from fieldpost.client.fleet_heads import ReportedHead, fetch_all_heads
from fieldpost.client.transport import HttpClient
from fieldpost.durable import make_dirs, write_file
from fieldpost.errors import Malformed, Unavailable, Untrusted
from fieldpost.tlog.hashing import Hash
from fieldpost.tlog.note import MAX_NOTE_BYTES
from fieldpost.tlog.proof import prove_prefix, roots_from_prefix
from fieldpost.tlog.tiles import FULL_WIDTH, Tile, TileHashReader, tile_path
from fieldpost.tlog.tree import HashReader
from fieldpost.tlog.treehead import Checkpoint

_TILE_BYTES: Final = FULL_WIDTH * 32


class _RemoteLog:
    """A board's log by its tiles, each use of which is proven to the verified head."""

    def __init__(self, board: Board, head: Checkpoint) -> None:
        self._board = board
        self._head = head

    def _tile(self, tile: Tile) -> bytes:
        path = f"/log/{tile_path(tile)}"
        return self._board.fetch(path, most_bytes=_TILE_BYTES, judge=lambda data: data)

    def hash_reader(self) -> HashReader:
        """Every hash of the head's tree."""
        return TileHashReader(self._tile, self._head.size)

    def root_at(self, size: int) -> Hash:
        """The root at a size, by a proof from the board. Raises Unavailable where it has none."""
        path = prove_prefix(self.hash_reader(), old_size=size, size=self._head.size)
        old_root, root = roots_from_prefix(old_size=size, size=self._head.size, path=path)
        if root != self._head.root:
            raise Unavailable(
                f"{self._board.url} cannot prove its history at size {size}; ask another node"
            )
        return old_root


def history_of(board: Board) -> History:
    """What the board shows, verified from its genesis on by the board id that it states."""
    links = board.links("/v1/board")
    records = board_records(board.id, links)
    record = records[-1]

    def verify(text: bytes) -> tuple[bytes, Checkpoint]:
        return text, policy_of(record).verify(text, origin=record.origin)[0]

    text, head = board.fetch("/log/checkpoint", most_bytes=MAX_NOTE_BYTES, judge=verify)
    return History(
        board=board.id,
        origin=record.origin,
        size=head.size,
        note=text,
        records=records,
        links=links,
        log=_RemoteLog(board, head),
    )


@click.command()
@click.option("--board", "board_url", required=True, help="URL of a node of the board.")
@click.option(
    "--fleet", "fleet_url", help="URL of your own fleet service.  [default: the board's node]"
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for evidence files.  [default: none are written]",
)
@json_option
def evidence(*, board_url: str, fleet_url: str | None, save: Path | None, as_json: bool) -> None:
    r"""Compare the heads that your devices verified with what the board shows you.

    A device that was shown another history reports its head, with the cosignatures under it. The
    board is asked for a proof that this head is of its history. Where it has none, whoever signed
    both is named, and the file convinces others (`fieldpost verify`); a head without cosignatures
    is the device's word alone. A device that was shown two histories froze, and sent both heads.
    Exit code 4 if there is evidence, 3 if there are only suspicions.

    \b
    fieldpost fleet evidence --board https://board.example
    fieldpost fleet evidence --board https://board.example --fleet https://fleet.lamps.example \
        --save ./evidence
    """
    board = Board(board_url)
    history = history_of(board)
    with HttpClient(fleet_url or board_url) as http:
        judged = [(head, _judge(head, history)) for head in fetch_all_heads(http)]
        sent = [_sent(data, history, save) for data in fetch_all_evidence(http)]
    odd = [(head, verdict) for head, verdict in judged if verdict.fit is Fit.OTHER]
    rows = [_row(head, verdict, save) for head, verdict in odd] + sent
    ahead = sum(verdict.fit is Fit.AHEAD for _, verdict in judged)
    facts = {"board": history.board, "size": history.size, "heads": len(judged), "ahead": ahead}
    if as_json:
        show_json(facts | {"found": rows})
    else:
        table(rows, as_json=False, empty=f"all {len(judged)} heads that devices saw fit")
        if ahead:
            note(f"{ahead} heads are larger than the board's; look again later")
    proven = [verdict for _, verdict in odd if verdict.evidence is not None]
    if proven or sent:
        raise click.exceptions.Exit(4)
    if odd:
        raise click.exceptions.Exit(3)


def _judge(head: ReportedHead, history: History) -> Verdict:
    try:
        seen = Checkpoint(history.origin, head.size, head.root)
    except Malformed:
        return Verdict(Fit.NOISE)
    return compare_reported(seen, head.cosignatures, history)


def _row(head: ReportedHead, verdict: Verdict, save: Path | None) -> dict[str, object]:
    row: dict[str, object] = {
        "size": head.size,
        "root": head.root.hex(),
        "device": head.device,
        "signed_by": ", ".join(verdict.authors) or verdict.detail,
        "evidence": "shown" if verdict.evidence is not None else "none, a suspicion",
    }
    if save is not None and verdict.evidence is not None:
        row["evidence"] = _save(verdict.evidence.encode(), save)
    return row


def _sent(data: bytes, history: History, save: Path | None) -> dict[str, object]:
    """A file that a device sent, judged here again. Raises Unavailable for what proves nothing."""
    try:
        evidence = decode_evidence(data)
        if evidence.board != history.board:
            raise Untrusted("wrong-board", f"it is about {evidence.board}")
        proven = verify_evidence(evidence, links=history.links)
    except (Malformed, Untrusted) as error:
        raise Unavailable(f"the fleet service hands out false evidence: {error}") from error
    authors = proven.authors or (*proven.signed_first, *proven.signed_second)
    complete = replace(evidence, links=tuple(history.links))
    return {
        "size": proven.second.size,
        "root": proven.second.root.hex(),
        "device": "sent by a device",
        "signed_by": ", ".join(dict.fromkeys(f"{one.role} {one.name}" for one in authors)),
        "evidence": "shown" if save is None else _save(complete.encode(), save),
    }


def _save(data: bytes, folder: Path) -> str:
    make_dirs(folder)
    path = folder / f"split-view-{sha256(data).hexdigest()[:16]}.evidence"
    write_file(path, data)
    return str(path)


commands = (evidence,)
