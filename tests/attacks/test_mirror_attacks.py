# SPDX-License-Identifier: Apache-2.0
"""Attacks on a node that comes back from an old backup: what lying mirrors can make it do.

Afterwards the node has signed nothing new, and says whom not to believe. The control is a node
that asks no mirror: it signs a second history.
"""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from fieldpost.durable import write_file
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.engines.tail import Caught, catch_up
from fieldpost.errors import Misbehaviour, Misconfigured, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.node.mirrors import open_mirror
from fieldpost.signers.keyfile import load_key_file
from fieldpost.store.log_files import read_checkpoint
from fieldpost.store.log_recovery import open_log
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import (
    Checkpoint,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from fieldpost.tlog.note import ED25519, Note, VerifierKey, format_note, parse_note
from tests.unit.engines.mirrored_boards import copy, damage, enrol, mirror, put_back, written


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    """A board at size 18, of which `old` is a copy at size 10, and `mirror` one of its log."""
    made = written(tmp_path / "data", lots=2)
    copy(made.data, tmp_path / "old")
    enrol(made, 4)
    copy(made.data / "log", tmp_path / "mirror")
    put_back(tmp_path / "old", made.data)
    return made


def head(folder: Path) -> Checkpoint:
    note = read_checkpoint(folder)
    assert note is not None
    return parse_checkpoint(parse_note(note).text)


def sign_another_end(board: BoardOnDisk) -> None:
    """What a node does that asks nobody: size 12 to 18 once more, with other posts."""
    writer = board.open()
    for number in range(3, 7):
        lot = board.maker.lot_enrol(root=b"%d" % number * 32, nonce=number)
        writer.commit([lot], time=board.time)
        writer.publish(board.time)
    writer.close()


def check_untouched(board: BoardOnDisk, caught: Caught, *blamed: str) -> None:
    """The node waits, and the disk is as the backup left it."""
    assert not caught.grew
    assert caught.behind is not None
    for word in blamed:
        assert word in caught.behind
    assert head(board.data / "log").size == 10


def test_control_a_node_that_asks_nobody_signs_a_second_history(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """What all this is for: two notes of one size by one key, and different roots."""
    sign_another_end(board)
    mine, theirs = head(board.data / "log"), head(tmp_path / "mirror")
    assert mine.size == theirs.size == 18
    assert mine.root != theirs.root
    for note in (board.data / "log", tmp_path / "mirror"):
        data = read_checkpoint(note)
        assert data is not None
        key = load_key_file(board.data / "keys" / "log.pem", lambda: b"").public_key.raw
        open_checkpoint(data, [VerifierKey("board.test/1", ED25519, key)])


def test_a_forged_mirror_is_told_from_ours_by_our_own_signature(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """Longer than anything that we signed, whole in itself, and signed by somebody else."""
    forged = tmp_path / "mirror" / "checkpoint"
    checkpoint = head(tmp_path / "mirror")
    stranger = DeterministicSigner(Algorithm.ED25519, "stranger")
    signature = sign_checkpoint(checkpoint, name="board.test/1", signer=stranger)
    write_file(forged, format_note(Note(format_checkpoint(checkpoint), (signature,))))
    caught = catch_up(board.data, [mirror(tmp_path / "mirror")])
    check_untouched(board, caught, "mirror", "unknown-key")
    assert SignedMark(board.data / "keys").size == 10


def test_a_mirror_of_another_board_is_refused(board: BoardOnDisk, tmp_path: Path) -> None:
    other = written(tmp_path / "other", lots=5)
    caught = catch_up(board.data, [mirror(other.data)])
    check_untouched(board, caught, "other", "unknown-key")


@pytest.mark.parametrize(
    "missing", ["tile/entries", "tile/0", "tile/entries/000.p/18", "checkpoint"]
)
def test_a_truncated_mirror_leaves_the_node_waiting(
    board: BoardOnDisk, tmp_path: Path, missing: str
) -> None:
    path = tmp_path / "mirror" / missing
    if missing == "tile/0":  # hashes of single entries are not needed: they follow from these
        shutil.rmtree(path)
        assert catch_up(board.data, [mirror(tmp_path / "mirror")]).behind is None
        return
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    caught = catch_up(board.data, [mirror(tmp_path / "mirror")])
    if missing == "checkpoint":
        # A mirror that says nothing is as good as a young one; this is why there may be several.
        assert caught == Caught(grew=False, behind=None)
        return
    check_untouched(board, caught, "signed size 18", str(tmp_path / "mirror"))


@pytest.mark.parametrize("at", [40, -40, 0, 1])
def test_a_mirror_with_damaged_entries_is_named_and_nothing_of_it_is_written(
    board: BoardOnDisk, tmp_path: Path, at: int
) -> None:
    damage(tmp_path / "mirror" / "tile" / "entries" / "000.p" / "18", at)
    caught = catch_up(board.data, [mirror(tmp_path / "mirror")])
    check_untouched(board, caught, "signed size 18", str(tmp_path / "mirror"))


def test_a_mirror_with_our_signature_and_another_history_stops_the_node_with_evidence(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """The second history was signed somewhere, by this key: nobody may go on as if it were not."""
    sign_another_end(board)
    with pytest.raises(Misbehaviour, match="signed two histories") as found:
        catch_up(board.data, [mirror(tmp_path / "mirror")])
    assert found.value.reason == "split-view"
    kept = sorted(path.name for path in (board.data / "evidence").iterdir())
    assert kept == ["18-here.note", "18-mirror.note"]
    notes = [(board.data / "evidence" / name).read_bytes() for name in kept]
    assert tuple(notes) == found.value.evidence
    with pytest.raises(Misbehaviour, match="lost-tail"):
        EmbeddedEngine(
            board.data, ask_mirrors=lambda: catch_up(board.data, [mirror(tmp_path / "mirror")])
        )


def test_entries_that_were_never_published_are_no_second_history(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """A batch that was cut off before it was signed, in a backup: said so, and nothing is cut."""
    writer = board.open()
    writer.commit([board.maker.lot_enrol(root=b"?" * 32, nonce=3)], time=board.time)
    writer.close()
    with pytest.raises(Misconfigured, match="never published") as refused:
        catch_up(board.data, [mirror(tmp_path / "mirror")])
    assert "Move log and state.db aside" in str(refused.value)
    assert not (board.data / "evidence").exists()
    shutil.move(board.data / "log", tmp_path / "log aside")
    shutil.move(board.data / "state.db", tmp_path / "state aside")
    assert catch_up(board.data, [mirror(tmp_path / "mirror")]) == Caught(grew=True, behind=None)


def test_a_stolen_log_key_cannot_make_the_node_write_what_the_rules_refuse(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """A true signature over a tree in which a maker's post has another nonce than the next."""
    thief = written(tmp_path / "thief")
    shutil.rmtree(thief.data)
    copy(tmp_path / "old", thief.data)
    writer = thief.open()
    leaf = writer.log.read_entry(9)
    writer.log.append([board.maker.lot_enrol(nonce=77), leaf])
    root = writer.log.compact_range().root()
    writer.close()
    signer = load_key_file(board.data / "keys" / "log.pem", lambda: b"")
    checkpoint = Checkpoint("board.test/1", 12, root)
    signature = sign_checkpoint(checkpoint, name="board.test/1", signer=signer)
    write_file(
        thief.data / "log" / "checkpoint",
        format_note(Note(format_checkpoint(checkpoint), (signature,))),
    )
    with pytest.raises(Untrusted, match="the rules refuse") as refused:
        catch_up(board.data, [mirror(thief.data)])
    assert refused.value.reason == "refused-post"
    assert open_log(board.data / "log").size == 10


class Endless(BaseHTTPRequestHandler):
    """A checkpoint that never ends; with `note`, a true one and tiles that never end."""

    note: ClassVar[bytes | None] = None

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        if self.note is not None and self.path.endswith("checkpoint"):
            self.wfile.write(self.note)
            return
        try:
            while True:
                self.wfile.write(b"x" * 65_536)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


@contextmanager
def serving(note: bytes | None) -> Iterator[str]:
    handler = type("Handler", (Endless,), {"note": note})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("true_checkpoint", [True, False])
def test_answers_that_never_end_are_cut_off_and_named(
    board: BoardOnDisk, tmp_path: Path, true_checkpoint: bool
) -> None:
    note = read_checkpoint(tmp_path / "mirror") if true_checkpoint else None
    with serving(note) as url:
        caught = catch_up(board.data, [open_mirror(url)])
    check_untouched(board, caught, url, "allowed")
    # Another mirror helps all the same.
    with serving(note) as url:
        mirrors = [open_mirror(url), mirror(tmp_path / "mirror")]
        assert catch_up(board.data, mirrors) == Caught(grew=True, behind=None)
