# SPDX-License-Identifier: Apache-2.0
"""Attacks on a witness: forks, rollbacks, one operator that would poison it, and lost memory.

Afterwards it is asked what it cosigned last, and still cosigns the true history. Each control is
the same attack on a witness without the defence: it cosigned the fork.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from fieldpost.checkin.evidence import decode_evidence, verify_evidence
from fieldpost.client.witness import add_checkpoint, fetch_cosigned
from fieldpost.errors import Malformed, Misconfigured, NotFound, Untrusted
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.checkpoint import Checkpoint, open_checkpoint
from fieldpost.tlog.cosignature import Cosignature, cosigner_key, format_cosignature
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import Note, NoteSignature, format_note, parse_note
from fieldpost.tlog.tree import MemoryTree
from fieldpost.tlog.witness import Inconsistent, OtherSize
from fieldpost.watch.witness.database import FILE_NAME
from fieldpost.watch.witness.sources import BoardSource
from tests.unit.watch.witness_world import ServedWitness, ToyLog, served
from tests.unit.watch.witnessed_board import WitnessedBoard

LOG = ToyLog()
FORK = ToyLog(entries="forged")


def cosigned(witness: ServedWitness, origin: str = LOG.origin) -> Checkpoint:
    """What monitors see that the witness cosigned last."""
    return open_checkpoint(fetch_cosigned(witness.http, origin), witness.keys)[0]


def forked_from(size: int) -> ToyLog:
    """The log with other entries after `size`."""
    fork = ToyLog()
    entries = [f"entry {n}" for n in range(size)] + [f"forged {n}" for n in range(size, 300)]
    fork.tree = MemoryTree(leaf_hash(entry.encode()) for entry in entries)
    return fork


def test_a_witness_cosigns_no_fork_of_what_it_cosigned(tmp_path: Path) -> None:
    with served(tmp_path / "a", LOG.known()) as witness:
        witness.ask(LOG, 0, 7)
        for size in (7, 9, 256):
            with pytest.raises(Inconsistent):
                witness.ask(FORK, 7, size)
        assert cosigned(witness) == LOG.checkpoint(7)
        assert witness.ask(LOG, 7, 9)
    with without(Defence.WITNESS_CONSISTENCY), served(tmp_path / "b", LOG.known()) as witness:
        witness.ask(LOG, 0, 7)
        assert witness.ask(FORK, 7, 9), "control: the fork is cosigned"
        assert cosigned(witness) == FORK.checkpoint(9)


def test_an_older_checkpoint_takes_no_witness_back(tmp_path: Path) -> None:
    with served(tmp_path / "a", LOG.known()) as witness:
        witness.ask(LOG, 0, 9)
        for old in (0, 7):
            with pytest.raises(OtherSize):
                witness.ask(LOG, old, 7)
        with pytest.raises(Malformed):
            add_checkpoint(witness.http, old_size=9, proof=(), note=LOG.note(7), state=None)
        assert cosigned(witness) == LOG.checkpoint(9)


def test_a_log_key_is_worth_nothing_for_another_origin(tmp_path: Path) -> None:
    other = ToyLog("other.test/1", "other")
    with served(tmp_path, LOG.known(), other.known()) as witness:
        witness.ask(LOG, 0, 7)
        stolen = ToyLog(other.origin, "log")
        with pytest.raises(Untrusted):
            witness.ask(stolen, 0, 9)
        with pytest.raises(NotFound):
            cosigned(witness, other.origin)
        assert cosigned(witness) == LOG.checkpoint(7)


def forked_board(board: WitnessedBoard) -> WitnessedBoard:
    """The same board with another post after the genesis."""
    fork = WitnessedBoard(BoardWorld(operators=4))
    assert fork.id == board.id
    fork.world.accept(fork.world.maker.registration())
    fork.world.accept(fork.world.maker.class_set("forged"))
    return fork


def attack_by_one_operator(folder: Path) -> tuple[bool, bool]:
    """Whether the witness cosigned one operator's fork, and the true head after it."""
    board = WitnessedBoard(BoardWorld(operators=4))
    fork = forked_board(board)
    with served(folder, boards=[BoardSource(board.id, None)]) as witness:
        board.send_links(witness.http)
        board.ask(witness.http, 0)
        try:
            took_fork = bool(fork.ask(witness.http, 2, operators=1))
        except Untrusted:
            took_fork = False
        board.world.accept(board.world.maker.registration())
        board.world.accept(board.world.maker.class_set())
        try:
            took_truth = bool(board.ask(witness.http, 6 if took_fork else 2))
        except Untrusted:
            took_truth = False
        return took_fork, took_truth


def test_one_operator_cannot_poison_a_witness_with_a_fork(tmp_path: Path) -> None:
    assert attack_by_one_operator(tmp_path / "a") == (False, True)
    with without(Defence.WITNESS_QUORUM):
        assert attack_by_one_operator(tmp_path / "b") == (True, False), "control: poisoned"


def test_a_fork_that_one_operator_showed_is_kept_as_evidence(tmp_path: Path) -> None:
    board = WitnessedBoard(BoardWorld(operators=4))
    fork = forked_board(board)
    with served(tmp_path, boards=[BoardSource(board.id, None)]) as witness:
        board.send_links(witness.http)
        board.world.accept(board.world.maker.registration())
        board.world.accept(board.world.maker.class_set())
        board.ask(witness.http, 0)
        with pytest.raises(Untrusted):
            fork.ask(witness.http, 6, operators=1)
    (kept,) = (tmp_path / "evidence").iterdir()
    proven = verify_evidence(decode_evidence(kept.read_bytes()))
    assert (proven.first.size, proven.second.size) == (6, 6)
    assert {signer.name for signer in proven.authors} == {board.world.operators[0].name}


@pytest.mark.parametrize("spoilt", [False, True], ids=["control", "invented"])
def test_an_invented_line_beside_a_true_one_spoils_no_evidence(
    tmp_path: Path, spoilt: bool
) -> None:
    """A verifier believes no note with a bad signature in it, so a liar would add one."""
    board = WitnessedBoard(BoardWorld(operators=4))
    fork = forked_board(board)
    note = parse_note(fork.note(2))
    other = board.world.operators[2]
    key = cosigner_key(other.cosigner_name, other.cosigner().public_key)
    invented = format_cosignature(Cosignature(key.key_id, 1, bytes([1]) * 64), name=key.name)
    lines = (*note.signatures, invented) if spoilt else note.signatures
    with served(tmp_path, boards=[BoardSource(board.id, None)]) as witness:
        board.send_links(witness.http)
        board.world.accept(board.world.maker.registration())
        board.world.accept(board.world.maker.class_set())
        board.ask(witness.http, 0)
        with pytest.raises(Untrusted):
            fork.ask(witness.http, 6, note=format_note(Note(note.text, lines)))
    (kept,) = (tmp_path / "evidence").iterdir()
    proven = verify_evidence(decode_evidence(kept.read_bytes()))
    authors = {board.world.operators[n].name for n in range(2)}
    assert {signer.name for signer in proven.authors} == authors


def put_back(folder: Path, saved: Path) -> None:
    """The database as it was once; the keys stay."""
    for path in folder.glob(f"{FILE_NAME}*"):
        path.unlink()
    shutil.copy(saved, folder / FILE_NAME)


def old_copy(folder: Path) -> tuple[NoteSignature, ...]:
    """A witness that cosigned 20, with the database of when it had cosigned 7; its line over 20."""
    with served(folder, LOG.known()) as witness:
        witness.ask(LOG, 0, 7)
    shutil.copy(folder / FILE_NAME, folder.parent / "saved")
    with served(folder, LOG.known()) as witness:
        lines = witness.ask(LOG, 7, 20)
    put_back(folder, folder.parent / "saved")
    return lines


def test_a_witness_put_back_learns_from_its_own_signature_and_refuses_the_fork(
    tmp_path: Path,
) -> None:
    fork = forked_from(7)

    def attack(folder: Path) -> bool:
        folder.mkdir(parents=True)
        lines = old_copy(folder / "w")
        with served(folder / "w", LOG.known()) as witness:
            # The log submits its head with all the lines that it has, as nodes do.
            with pytest.raises(OtherSize):
                add_checkpoint(
                    witness.http, old_size=0, proof=(), note=LOG.note(20, *lines), state=None
                )
            try:
                return bool(witness.ask(fork, 7, 25))
            except (OtherSize, Inconsistent):
                assert witness.ask(LOG, 20, 25)
                return False

    assert not attack(tmp_path / "a")
    with without(Defence.WITNESS_OWN_MEMORY):
        assert attack(tmp_path / "b"), "control: a second history is cosigned"


@contextmanager
def site(note: bytes) -> Iterator[str]:
    """A log's checkpoint, served as a static file."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(note)))
            self.end_headers()
            self.wfile.write(note)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=partial(server.serve_forever, 0.05))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_witness_put_back_asks_its_logs_first_and_without_any_is_deceived(
    tmp_path: Path,
) -> None:
    fork = forked_from(7)
    lines = old_copy(tmp_path / "w")
    saved = tmp_path / "again"
    shutil.copytree(tmp_path / "w", saved)
    with site(LOG.note(20, *lines)) as url:
        known = LOG.known()
        with served(tmp_path / "w", type(known)(known.origin, known.keys, url)) as witness:
            assert cosigned(witness) == LOG.checkpoint(20)
            with pytest.raises(OtherSize):
                witness.ask(fork, 7, 25)
    with served(saved, LOG.known()) as witness, without(Defence.WITNESS_OWN_MEMORY):
        assert witness.ask(fork, 7, 25), "an old copy that is shown nothing signs a second history"


def test_keys_that_cosigned_do_not_work_with_an_empty_database(tmp_path: Path) -> None:
    def attack(folder: Path, defences: Sequence[Defence]) -> bool:
        with served(folder, LOG.known()) as witness:
            witness.ask(LOG, 0, 7)
        for path in folder.glob(f"{FILE_NAME}*"):
            path.unlink()
        with without(*defences), served(folder, LOG.known()) as witness:
            return bool(witness.ask(FORK, 0, 7))

    with pytest.raises(Misconfigured, match="second history"):
        attack(tmp_path / "a", ())
    assert attack(tmp_path / "b", (Defence.WITNESS_KEYS_KNOW,)), "control: two histories"


def test_a_cosignature_is_on_the_disk_before_anybody_has_it(tmp_path: Path) -> None:
    def attack(folder: Path, defences: Sequence[Defence]) -> bool:
        with without(*defences), served(folder, LOG.known()) as witness:
            witness.ask(LOG, 0, 7)
            saved = [(path.name, path.read_bytes()) for path in folder.glob(f"{FILE_NAME}*")]
        # The power went in the moment of the answer: this is what the disk had.
        for path in folder.glob(f"{FILE_NAME}*"):
            path.unlink()
        for name, content in saved:
            if not name.endswith("-shm"):
                (folder / name).write_bytes(content)
        with without(*defences, Defence.WITNESS_KEYS_KNOW), served(folder, LOG.known()) as again:
            try:
                return bool(again.ask(FORK, 0, 7))
            except OtherSize:
                return not again.ask(LOG, 7, 9)

    assert not attack(tmp_path / "a", ())
    assert attack(tmp_path / "b", (Defence.WITNESS_DURABLE,)), "control: two histories"
