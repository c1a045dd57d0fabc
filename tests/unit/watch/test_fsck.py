# SPDX-License-Identifier: Apache-2.0
"""`board fsck`: what does not hold is named, and what could not be looked at is said."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from fieldpost.client.transport import HttpClient
from fieldpost.durable import write_file
from fieldpost.errors import Misconfigured, NotFound, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.store.log_files import read_file
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import parse_checkpoint, sign_checkpoint
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import Note, format_note, parse_note
from fieldpost.tlog.tiles import Tile, decode_entry_bundle, encode_entry_bundle, encode_tile
from fieldpost.tlog.tree import MemoryTree, read_compact_range
from fieldpost.watch.fsck import check_folder, check_log, check_url
from fieldpost.watch.fsck_log import LogEntries, Read, tree_of
from fieldpost.watch.fsck_report import Report
from tests.attacks.test_lying_source_attacks import sign_alone, write_wrong_state
from tests.unit.cli.cli_world import cli_world
from tests.unit.engines.mirrored_boards import copy, damage, enrol, written
from tests.unit.watch.copied_boards import follow, note_of


def silent(_what: str, _total: int) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda _: None)


def reader(log: Path) -> Read:
    def read(path: str) -> bytes:
        return read_file(log / path)

    return read


def checked(data: Path) -> Report:
    return check_log(reader(data / "log"), progress=silent)


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    return written(tmp_path / "data", lots=2)


def test_a_whole_log_is_told_with_every_signature_and_chain(board: BoardOnDisk) -> None:
    report = checked(board.data)
    assert report.damaged == ()
    assert report.facts["entries"] == board.state.size
    assert report.facts["map_root"] == board.state.map.root.hex()
    assert report.facts["chains"] == {"board": 1, "makers": 1, "classes": 1}
    roles = [line["role"] for line in report.facts["signatures"]]  # type: ignore[attr-defined]
    assert roles == ["operator", "operator"]
    assert [one.what for one in report.unchecked] == ["manifests and artifacts"]


def test_a_line_that_no_record_names_is_said_and_believed_nothing(board: BoardOnDisk) -> None:
    note = parse_note(note_of(board.data))
    head = parse_checkpoint(note.text)
    stranger = DeterministicSigner(Algorithm.ED25519, "stranger")
    line = sign_checkpoint(head, name="stranger.example", signer=stranger)
    more = format_note(Note(note.text, (*note.signatures, line)))
    write_file(board.data / "log" / "checkpoint", more)
    report = checked(board.data)
    assert report.unchecked[0].what == "the line of stranger.example in checkpoint"


def test_a_checkpoint_without_the_operators_quorum_does_not_hold(board: BoardOnDisk) -> None:
    sign_alone(board.data, None)
    (found,) = checked(board.data).damaged
    assert found.file == "checkpoint"
    assert found.what.startswith("it does not hold: no-quorum")


def test_a_state_that_the_rules_do_not_make_is_found_where_every_file_is_whole(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    copy(board.data, tmp_path / "wrong")
    write_wrong_state(board, tmp_path / "wrong")
    with pytest.raises(Untrusted, match="wrong-state"):
        checked(tmp_path / "wrong")


@pytest.mark.parametrize("at", [50, -50])
def test_a_damaged_file_is_named_also_where_the_rules_meet_it_first(
    board: BoardOnDisk, at: int
) -> None:
    damage(board.data / "log" / "tile" / "entries" / "000.p" / "10", at)
    report = checked(board.data)
    assert [one.file for one in report.damaged] == ["tile/entries/000.p/10"]
    assert report.unchecked[0].what == "signatures, rules and states from entry 0 on"
    assert report.facts == {"entries": 10, "entries_judged": 0}


def test_files_of_a_whole_checkpoint_are_named_instead_of_it_where_what_was_signed_since_proves_it(
    board: BoardOnDisk,
) -> None:
    older = note_of(board.data)
    enrol(board, 1)
    write_file(board.data / "log" / "checkpoint", older)
    lost = [board.data / "log" / "tile" / kind / "000.p" / "10" for kind in ("0", "entries")]
    for path in lost:
        damage(path)
    report = check_folder(board.data, reader(board.data / "log"), progress=silent)
    assert sorted(one.file for one in report.damaged) == [*map(str, lost)]
    assert report.facts["entries"] == 10


def test_a_log_that_grows_while_it_is_checked_is_not_damaged(board: BoardOnDisk) -> None:
    """Its node drops the last part once the whole file is there."""
    real = reader(board.data / "log")
    entries = [*decode_entry_bundle(real("tile/entries/000.p/10")), *([b"later"] * 246)]
    grown = {
        "tile/entries/000": encode_entry_bundle(entries),
        "tile/0/000": encode_tile([*map(leaf_hash, entries)]),
    }

    def read(path: str) -> bytes:
        if ".p/" in path:
            raise NotFound(path)
        return grown[path] if path in grown else real(path)

    report = check_log(read, progress=silent)
    assert (report.damaged, report.facts["entries"]) == ((), 10)
    del grown["tile/0/000"]
    (found,) = check_log(read, progress=silent).damaged
    assert (found.file, found.what) == ("tile/0/000.p/10", "it is missing")


def test_without_a_head_it_is_said_that_nothing_was_looked_at(board: BoardOnDisk) -> None:
    (board.data / "log" / "checkpoint").unlink()
    report = checked(board.data)
    assert [(one.file, one.what) for one in report.damaged] == [("checkpoint", "it is missing")]
    first = report.unchecked[0]
    assert (first.what, first.why) == ("entries and tiles", "no head says what they should be")


def test_a_mirrors_folder_holds_and_says_what_it_has_not(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    follow(tmp_path / "copy", board.data)
    report = check_folder(tmp_path / "copy", reader(tmp_path / "copy" / "log"), progress=silent)
    assert report.damaged == ()
    assert {one.what for one in report.unchecked} == {"catalog.db", "fleet.db", "keys"}
    enrol(board, 1)
    write_file(tmp_path / "copy" / "log" / "tile" / "0" / "009", bytes(8192))
    report = check_folder(tmp_path / "copy", reader(tmp_path / "copy" / "log"), progress=silent)
    assert [Path(one.file).name for one in report.damaged] == ["009"]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 512, 700])
def test_the_tree_over_bundles_has_the_hashes_of_the_tree_over_entries(size: int) -> None:
    entries = [b"%d" % number for number in range(size)]

    def read(path: str) -> bytes:
        index = int(path.split("/")[2].removesuffix(".p"))
        return encode_entry_bundle(entries[256 * index : 256 * index + 256])

    found = LogEntries(read, size)
    assert [*found] == entries
    assert found[: size // 2] == entries[: size // 2]
    tree, whole = tree_of(found), MemoryTree(map(leaf_hash, entries))
    for part in {1, size // 2 or 1, size - 1 or 1, size}:
        assert read_compact_range(tree, size=part) == read_compact_range(whole, size=part)
    tile = Tile(0, 0, min(size, 256))
    assert tree.read_hashes(tile.positions()) == whole.read_hashes(tile.positions())


def test_a_url_is_asked_for_everything_that_releases_name(tmp_path: Path) -> None:
    with cli_world(tmp_path) as world:
        world.with_maker()
        world.publish("1.0")

        def look() -> Report:
            with HttpClient(world.url) as http:
                return check_url(http, lambda path: http.fetch(f"/log/{path}"), progress=silent)

        report = look()
        assert report.damaged == ()
        assert [one.what for one in report.unchecked] == ["databases and keys"]
        blob = next(p for p in (world.data / "blobs" / "sha256").rglob("*") if p.is_file())
        blob.write_bytes(bytes(len(blob.read_bytes())))
        shutil.rmtree(world.data / "blobs" / "manifests")
        report = look()
        assert [one.file.rpartition("/")[2] for one in report.damaged] == [blob.name]
        assert [one.what.split()[0] for one in report.unchecked] == ["databases", "manifest"]
        code, found = world.code("board", "fsck", world.url)
        assert code == 3
        assert found["damaged"][0]["what"] == "its bytes have another digest"


def test_a_file_that_cannot_be_read_is_no_damage_of_the_board(board: BoardOnDisk) -> None:
    def read(path: str) -> bytes:
        raise Misconfigured(f"{path} cannot be read")

    with pytest.raises(Misconfigured, match="checkpoint"):
        check_log(read, progress=silent)
