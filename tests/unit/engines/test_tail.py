# SPDX-License-Identifier: Apache-2.0
"""An old data directory fetches what it lacks from a mirror, before anything is signed."""

import shutil
from pathlib import Path
from threading import Event

import pytest

from fieldpost.durable import write_file
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.engines.tail import RESTORED, Caught, catch_up
from fieldpost.errors import Misconfigured, Unavailable
from fieldpost.store.log_files import read_checkpoint
from fieldpost.testing.boards import BoardOnDisk
from tests.unit.engines.mirrored_boards import copy, enrol, mirror, put_back, written

WAIT_S = 60
UP_TO_DATE = Caught(grew=False, behind=None)


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    """A board at size 18, of which `old` is a copy at size 10 and `mirror` one of the log."""
    made = written(tmp_path / "data", lots=2)
    copy(made.data, tmp_path / "old")
    enrol(made, 4)
    copy(made.data / "log", tmp_path / "mirror")
    return made


def size(data: Path) -> int:
    note = read_checkpoint(data / "log")
    assert note is not None
    return int(note.split(b"\n")[1])


@pytest.mark.parametrize("keys", [True, False], ids=["keys too", "newer keys"])
def test_an_old_backup_fetches_its_tail_and_goes_on(
    board: BoardOnDisk, tmp_path: Path, keys: bool
) -> None:
    put_back(tmp_path / "old", board.data, keys=keys)
    assert size(board.data) == 10
    assert catch_up(board.data, [mirror(tmp_path / "mirror")]) == Caught(grew=True, behind=None)
    writer = board.open()
    assert writer.state.map.root == board.state.map.root
    assert writer.log.size == 18
    writer.publish(board.time)
    writer.close()
    assert SignedMark(board.data / "keys").size == 18
    enrol(board, 1)
    assert size(board.data) == 20


@pytest.mark.parametrize("lots", [100, 126, 127, 128, 400])
def test_tails_of_any_length_are_fetched(tmp_path: Path, lots: int) -> None:
    """Bundles end at 256 entries: tails begin and end before, at and behind them."""
    made = written(tmp_path / "data")
    old = [copy(made.data, tmp_path / "old at 6")]
    enrol(made, lots)
    old.append(copy(made.data, tmp_path / f"old at {6 + 2 * lots}"))
    enrol(made, 3)
    for data in old:
        assert catch_up(data, [mirror(made.data)]) == Caught(grew=True, behind=None)
        made_again = made.data
        assert (data / "log" / "tile").is_dir()
        for file in sorted((made_again / "log" / "tile").rglob("*")):
            if file.is_file() and not file.parent.name.endswith(".p"):
                assert file.read_bytes() == (data / file.relative_to(made_again)).read_bytes()


def test_a_whole_log_comes_back_from_a_mirror_and_the_keys_alone(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    shutil.rmtree(board.data / "log")
    for path in board.data.glob("state.db*"):
        path.unlink()
    assert catch_up(board.data, [mirror(tmp_path / "mirror")]) == Caught(grew=True, behind=None)
    writer = board.open()
    assert writer.state.map.root == board.state.map.root
    writer.close()


def test_a_database_that_knows_more_than_the_log_is_no_hindrance(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    shutil.rmtree(board.data / "log")
    copy(tmp_path / "old" / "log", board.data / "log")
    assert catch_up(board.data, [mirror(tmp_path / "mirror")]).grew
    board.open().close()


def test_a_node_that_is_up_to_date_changes_nothing(board: BoardOnDisk, tmp_path: Path) -> None:
    assert catch_up(board.data, [mirror(tmp_path / "mirror"), mirror(tmp_path / "old")]) == (
        UP_TO_DATE
    )


def test_a_new_board_begins_beside_an_empty_mirror(tmp_path: Path) -> None:
    made = written(tmp_path / "data")
    (tmp_path / "empty").mkdir()
    assert catch_up(made.data, [mirror(tmp_path / "empty")]) == UP_TO_DATE


def test_the_mark_learns_what_was_signed_elsewhere_even_if_it_cannot_be_fetched(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """So that leaving the mirrors away afterwards does not help either."""
    put_back(tmp_path / "old", board.data)
    shutil.rmtree(tmp_path / "mirror" / "tile")
    caught = catch_up(board.data, [mirror(tmp_path / "mirror")])
    assert caught.behind is not None
    assert "signed size 18" in caught.behind
    with pytest.raises(Misconfigured, match="older than what the node signed"):
        board.open()


def test_a_tail_comes_from_the_mirror_that_has_it(board: BoardOnDisk, tmp_path: Path) -> None:
    put_back(tmp_path / "old", board.data)
    copy(tmp_path / "mirror", tmp_path / "truncated")
    shutil.rmtree(tmp_path / "truncated" / "tile" / "entries")
    mirrors = [mirror(tmp_path / name) for name in ("nowhere", "truncated", "mirror", "old")]
    assert catch_up(board.data, mirrors) == Caught(grew=True, behind=None)


def test_a_restored_directory_waits_for_every_mirror(board: BoardOnDisk, tmp_path: Path) -> None:
    put_back(tmp_path / "old", board.data)
    write_file(board.data / RESTORED, b"")
    found, absent = mirror(tmp_path / "mirror"), mirror(tmp_path / "nowhere")
    caught = catch_up(board.data, [found, absent])
    assert caught.grew
    assert caught.behind is not None
    assert "every mirror must say first" in caught.behind
    assert "nowhere" in caught.behind
    assert catch_up(board.data, [found]) == UP_TO_DATE
    assert not (board.data / RESTORED).exists()
    assert catch_up(board.data, [found, absent]) == UP_TO_DATE


class Clock:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_while_no_mirror_answers_nothing_is_signed_and_old_heads_are_shown(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    put_back(tmp_path / "old", board.data)
    before = read_checkpoint(board.data / "log")
    late = tmp_path / "late"
    engine = EmbeddedEngine(
        board.data,
        clock=lambda: board.time + 10_000,
        ask_mirrors=lambda: catch_up(board.data, [mirror(late)]),
    )
    try:
        assert engine.published().size == 10
        with pytest.raises(Unavailable, match="mirror must say first"):
            engine.submit(board.maker.lot_enrol()).result()
        with pytest.raises(Unavailable, match="no folder"):
            engine.check_ready()
        with pytest.raises(Unavailable, match="mirror must say first"):
            engine.refresh(board.time + 10_000)
        assert read_checkpoint(board.data / "log") == before
    finally:
        engine.close()
    assert read_checkpoint(board.data / "log") == before


def test_a_mirror_that_comes_late_is_asked_again_and_posts_are_taken(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    put_back(tmp_path / "old", board.data)
    late = tmp_path / "late"
    seen: list[int] = []
    answered = []

    def ask() -> Caught:
        answered.append(catch_up(board.data, [mirror(late)]))
        if len(answered) == 1:
            copy(tmp_path / "mirror", late)
        return answered[-1]

    uptime = Clock()
    engine = EmbeddedEngine(
        board.data, clock=lambda: board.time + 60, uptime=uptime, ask_mirrors=ask
    )
    engine.subscribe(lambda head: seen.append(head.size))
    uptime.now = 11.0
    try:
        # The engine's own second hand asks again; until then posts are refused.
        post = board.maker.lot_enrol(root=b"!" * 32)
        receipt, pause = None, Event()
        for _ in range(20 * WAIT_S):
            try:
                receipt = engine.submit(post).result(WAIT_S)
                break
            except Unavailable:
                assert engine.published().size in (10, 18)
                pause.wait(0.05)
        assert receipt is not None, "the mirror was not asked again"
        assert (receipt.index, receipt.size) == (18, 20)
        assert engine.published().size == 20
        assert seen[-1] == 20
    finally:
        engine.close()
    assert [one.grew for one in answered[:2]] == [False, True]
