# SPDX-License-Identifier: Apache-2.0
"""Attacks on a mirror by the places that it copies from, and by operators of its board.

Afterwards the copy is what it was, devices are served what was published, and one honest source is
enough to go on. Only what the operators themselves published stops it, with evidence.
"""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from fieldpost.checkin.evidence import decode_evidence, verify_evidence
from fieldpost.durable import write_file
from fieldpost.engines.recovery import open_board
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import FieldpostError, Malformed, Misbehaviour, NotFound, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.signers.keyfile import load_key_file
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import (
    Checkpoint,
    format_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from fieldpost.tlog.note import Note, format_note, parse_note
from fieldpost.watch.mirror_copy import MOST_EVIDENCE, BoardCopy
from fieldpost.watch.mirror_run import MirrorRun, check_not_halted
from fieldpost.watch.mirror_sources import Source
from tests.unit.engines.mirrored_boards import copy, damage, enrol, written
from tests.unit.watch.copied_boards import follow, note_of, opened, step


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    """A board at size 10 that `copy` follows, and `fork`, where its operator goes another way."""
    made = written(tmp_path / "data", lots=2)
    follow(tmp_path / "copy", made.data)
    copy(made.data, tmp_path / "fork")
    return made


def head_of(data: Path) -> Checkpoint:
    return parse_checkpoint(parse_note(note_of(data)).text)


def write_another_end(board: BoardOnDisk, fork: Path, *, posts: int = 1) -> None:
    """What an operator does that signs two histories: the same keys over other entries."""
    writer = open_board(fork)
    for number in range(3, 3 + posts):
        lot = board.maker.lot_enrol(root=b"%d" % number * 32, nonce=number)
        writer.commit([lot], time=board.time + 60)
        writer.publish(board.time + 60)
    writer.close()


def refused(folder: Path, source: Path, error: type[FieldpostError], words: str) -> FieldpostError:
    """What a copy says of a source; nothing of it was published or kept in the log."""
    before = head_of(folder)
    with opened(folder) as follower:
        with pytest.raises(error, match=words) as found:
            step(follower, source)
        assert follower.copy.log.size == before.size
    assert head_of(folder) == before
    return found.value


@pytest.mark.parametrize("ahead", [0, 1])
def test_two_published_histories_end_the_mirror_with_evidence_for_anybody(
    board: BoardOnDisk, tmp_path: Path, ahead: int
) -> None:
    """At the same size, and where one is longer, so that a proof has to show it."""
    enrol(board, 1)
    follow(tmp_path / "copy", board.data)
    write_another_end(board, tmp_path / "fork", posts=1 + ahead)
    error = refused(tmp_path / "copy", tmp_path / "fork", Misbehaviour, "two histories")
    assert isinstance(error, Misbehaviour)
    assert error.reason == "split-view"
    (kept,) = (tmp_path / "copy" / "evidence").iterdir()
    proven = verify_evidence(decode_evidence(kept.read_bytes()))
    assert proven.board == board.state.board
    assert {signer.role for signer in proven.authors} == {"operator"}


def test_control_a_copy_that_remembers_nothing_takes_the_other_history(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    enrol(board, 1)
    write_another_end(board, tmp_path / "fork")
    follow(tmp_path / "new", tmp_path / "fork")
    assert head_of(tmp_path / "new").root == head_of(tmp_path / "fork").root
    assert head_of(tmp_path / "new").root != head_of(board.data).root


def test_a_fork_of_the_past_is_noticed_too(board: BoardOnDisk, tmp_path: Path) -> None:
    enrol(board, 4)
    follow(tmp_path / "copy", board.data)
    write_another_end(board, tmp_path / "fork")
    refused(tmp_path / "copy", tmp_path / "fork", Misbehaviour, "two histories")


def sign_alone(data: Path, signer_name: str | None) -> None:
    """The log's head, signed by the log key alone, or by a stranger's."""
    checkpoint = head_of(data)
    signer = (
        load_key_file(data / "keys" / "log.pem", lambda: b"")
        if signer_name is None
        else DeterministicSigner(Algorithm.ED25519, signer_name)
    )
    signature = sign_checkpoint(checkpoint, name=checkpoint.origin, signer=signer)
    note = format_note(Note(format_checkpoint(checkpoint), (signature,)))
    write_file(data / "log" / "checkpoint", note)


def test_a_stolen_log_key_publishes_nothing(board: BoardOnDisk, tmp_path: Path) -> None:
    """A head without the operators' cosignatures, over posts that every rule accepts."""
    write_another_end(board, tmp_path / "fork")
    sign_alone(tmp_path / "fork", None)
    refused(tmp_path / "copy", tmp_path / "fork", Untrusted, "no-quorum")


def test_control_without_the_quorum_the_thiefs_head_is_published(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    write_another_end(board, tmp_path / "fork")
    sign_alone(tmp_path / "fork", None)
    with without(Defence.PUBLISHING_QUORUM):
        follow(tmp_path / "copy", tmp_path / "fork")
        assert head_of(tmp_path / "copy") == head_of(tmp_path / "fork")


def test_one_keys_fork_is_kept_as_evidence_and_stops_nobody(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    enrol(board, 1)
    follow(tmp_path / "copy", board.data)
    write_another_end(board, tmp_path / "fork")
    sign_alone(tmp_path / "fork", None)
    refused(tmp_path / "copy", tmp_path / "fork", Untrusted, "split-view")
    assert len(list((tmp_path / "copy" / "evidence").iterdir())) == 1
    enrol(board, 1)
    follow(tmp_path / "copy", board.data)
    assert head_of(tmp_path / "copy") == head_of(board.data)


def test_forks_of_one_key_do_not_fill_the_disk_and_a_published_one_is_always_kept(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """One key makes any number of forks; here the folder is full of them already."""
    enrol(board, 1)
    follow(tmp_path / "copy", board.data)
    folder = tmp_path / "copy" / "evidence"
    folder.mkdir()
    for number in range(MOST_EVIDENCE):
        write_file(folder / f"{number}.evidence", b"")
    write_another_end(board, tmp_path / "fork")
    published = note_of(tmp_path / "fork")
    sign_alone(tmp_path / "fork", None)
    refused(tmp_path / "copy", tmp_path / "fork", Untrusted, "split-view")
    assert len(list(folder.iterdir())) == MOST_EVIDENCE
    write_file(tmp_path / "fork" / "log" / "checkpoint", published)
    refused(tmp_path / "copy", tmp_path / "fork", Misbehaviour, "split-view")
    assert len(list(folder.iterdir())) == MOST_EVIDENCE + 1


def test_a_strangers_fork_is_no_evidence(board: BoardOnDisk, tmp_path: Path) -> None:
    enrol(board, 1)
    follow(tmp_path / "copy", board.data)
    write_another_end(board, tmp_path / "fork")
    sign_alone(tmp_path / "fork", "stranger")
    refused(tmp_path / "copy", tmp_path / "fork", Untrusted, "unknown-key")
    assert not (tmp_path / "copy" / "evidence").exists()


def write_wrong_state(board: BoardOnDisk, data: Path) -> None:
    """The operator signs and cosigns a state that the rules do not make."""
    writer = open_board(data)
    leaf = writer.log.read_entry(writer.log.size - 1)
    writer.log.append([board.maker.lot_enrol(root=b"w" * 32, nonce=3), leaf])
    # An honest writer signs the size of its state, whatever else is in the log.
    writer.follow(writer.state, {})
    writer.publish(board.time + 60)
    writer.close()


def test_another_boards_chain_is_refused_also_under_our_origin(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    other = written(tmp_path / "other", lots=5)
    refused(tmp_path / "copy", other.data, Untrusted, "unknown-key")
    assert not (tmp_path / "copy" / "evidence").exists()


@pytest.mark.parametrize("missing", ["tile/entries", "tile/0"])
def test_a_truncated_log_is_blamed_on_its_source(
    board: BoardOnDisk, tmp_path: Path, missing: str
) -> None:
    enrol(board, 1)
    source = copy(board.data, tmp_path / "cut")
    shutil.rmtree(source / "log" / missing)
    if missing == "tile/0":  # hashes of single entries follow from the entries
        follow(tmp_path / "copy", source)
        return
    refused(tmp_path / "copy", source, NotFound, "missing")
    follow(tmp_path / "copy", board.data)


@pytest.mark.parametrize("at", [60, -60, 0, 1])
def test_damaged_entries_are_blamed_on_their_source(
    board: BoardOnDisk, tmp_path: Path, at: int
) -> None:
    enrol(board, 1)
    source = copy(board.data, tmp_path / "bad")
    damage(source / "log" / "tile" / "entries" / "000.p" / "12", at)
    with opened(tmp_path / "copy") as follower:
        with pytest.raises((Untrusted, Malformed)) as found:
            step(follower, source)
        assert not isinstance(found.value, Misbehaviour)
        assert step(follower, board.data)
    assert head_of(tmp_path / "copy") == head_of(board.data)


def test_an_invented_beginning_is_taken_back_when_nobody_published_it(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """A new copy knows no keys, so a liar's log is fetched before it is found out."""
    write_another_end(board, tmp_path / "fork", posts=3)
    sign_alone(tmp_path / "fork", "stranger")
    with opened(tmp_path / "new", board=board.state.board) as follower:
        with pytest.raises(Untrusted, match="unknown-key"):
            step(follower, tmp_path / "fork")
        assert follower.copy.log.size == 0
        assert step(follower, board.data)
    assert head_of(tmp_path / "new") == head_of(board.data)


def test_a_liar_who_stops_halfway_does_not_keep_a_new_copy_from_the_true_log(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    write_another_end(board, tmp_path / "fork", posts=3)
    sign_alone(tmp_path / "fork", "stranger")
    with opened(tmp_path / "new", go_on=lambda: False, at_once=12) as follower:
        with pytest.raises(FieldpostError):
            step(follower, tmp_path / "fork")
        assert follower.copy.log.size == 12
    enrol(board, 4)
    with opened(tmp_path / "new") as follower:
        assert step(follower, board.data)
    assert head_of(tmp_path / "new") == head_of(board.data)


class Handler(SimpleHTTPRequestHandler):
    """A data folder as a plain web server has it."""

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


class Endless(BaseHTTPRequestHandler):
    """Answers that never end; with `note`, a true checkpoint before them."""

    note: ClassVar[bytes | None] = None
    piece: ClassVar[bytes] = b"x" * 65_536

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        if self.note is not None and self.path.endswith("checkpoint"):
            self.wfile.write(self.note)
            return
        try:
            while not self.server.stopping.wait(0.0 if len(self.piece) > 1 else 0.05):  # type: ignore[attr-defined]
                self.wfile.write(self.piece)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.stopping = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.stopping.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()


def serving_folder(data: Path) -> type[BaseHTTPRequestHandler]:
    def make(*arguments: object) -> Handler:
        return Handler(*arguments, directory=str(data))  # type: ignore[arg-type]

    return make  # type: ignore[return-value]


@pytest.mark.parametrize("piece", [b"x" * 65_536, b"x"], ids=["endless", "dripping"])
@pytest.mark.parametrize("true_checkpoint", [True, False])
def test_a_source_that_never_ends_costs_its_turn_and_the_honest_one_is_followed(
    board: BoardOnDisk, tmp_path: Path, piece: bytes, true_checkpoint: bool
) -> None:
    enrol(board, 1)
    note = note_of(board.data) if true_checkpoint else None
    liar = type("Liar", (Endless,), {"note": note, "piece": piece})
    with (
        serving(liar) as bad,
        serving(serving_folder(board.data)) as good,
        opened(tmp_path / "copy") as follower,
    ):
        sources = [Source(bad, silence_s=0.3, total_s=0.3), Source(good)]
        run = MirrorRun(
            follower.copy, sources, verifiers=Verifiers(0), uptime=lambda: 0.0, chance=lambda: 0.5
        )
        run.ask_next()
        assert run.turns[0].failures == 1
        assert run.turns[0].error is not None
        run.ask_next()
        assert run.turns[1].failures == 0
        run.close()
    assert head_of(tmp_path / "copy") == head_of(board.data)


def test_after_two_histories_no_later_start_follows_the_board(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    enrol(board, 1)
    follow(tmp_path / "copy", board.data)
    write_another_end(board, tmp_path / "fork")
    with serving(serving_folder(tmp_path / "fork")) as url:
        mirror = BoardCopy(tmp_path / "copy")
        run = MirrorRun(mirror, [Source(url)], verifiers=Verifiers(0))
        with pytest.raises(Misbehaviour, match="split-view"):
            run.ask_next()
        run.close()
        mirror.close()
    with pytest.raises(Misbehaviour, match="halted"):
        check_not_halted(tmp_path / "copy")
