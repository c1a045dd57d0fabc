# SPDX-License-Identifier: Apache-2.0
"""`board fsck` of a folder whose node goes on meanwhile: what comes and goes is no damage.

Something is written at every step of the check: each file of the log that it reads, each bar that
it begins. Where the end of the log would be taken too early, one of them is called damaged.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from fieldpost.durable import write_file
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.watch import fsck_folder
from fieldpost.watch.fsck import check_folder
from fieldpost.watch.fsck_first_look import FirstLook
from fieldpost.watch.fsck_report import Finding, Report
from tests.unit.cli.cli_world import cli_world
from tests.unit.cli.test_care import enrol as enrol_devices
from tests.unit.engines.mirrored_boards import enrol, written
from tests.unit.watch.test_fsck import reader, silent

LAST = "comparing every other file"


class Meanwhile:
    """A check of `data`, with `act` done once: at its step number `at`, or when a bar begins."""

    def __init__(self, data: Path, act: Callable[[], object], at: int | str) -> None:
        self._data = data
        self._act = act
        self._at = at
        self._step = 0
        self.is_done = False

    def check(self) -> Report:
        real = reader(self._data / "log")

        def read(path: str) -> bytes:
            self._pass(None)
            return real(path)

        def progress(what: str, _total: int) -> AbstractContextManager[Callable[[int], None]]:
            self._pass(what)
            return nullcontext(lambda _: None)

        return check_folder(self._data, read, progress=progress)

    def _pass(self, what: str | None) -> None:
        self._step += 1
        if not self.is_done and self._at in (what, self._step):
            self.is_done = True
            self._act()


def whole(report: Report) -> bool:
    return report.damaged == ()


def test_a_batch_at_any_step_of_the_check_is_no_damage(tmp_path: Path) -> None:
    board = written(tmp_path / "data", lots=1)
    step = 0
    while True:
        step += 1
        check = Meanwhile(board.data, lambda: enrol(board, 1), step)
        report = check.check()
        assert whole(report), (step, report.damaged)
        if not check.is_done:
            break
    assert step > 5


def test_a_batch_that_nobody_signed_yet_is_no_damage_at_any_step(tmp_path: Path) -> None:
    board = written(tmp_path / "data", lots=1)

    def commit() -> None:
        writer = board.open()
        post = board.maker.lot_enrol(root=b"unsigned".ljust(32, b"."))
        board.apply([post])
        writer.commit([post], time=board.time)
        writer.close()

    check = Meanwhile(board.data, commit, LAST)
    assert whole(check.check())
    assert check.is_done
    report = check_folder(board.data, reader(board.data / "log"), progress=silent)
    assert (report.damaged, report.facts["unpublished_entries"]) == ((), 2)


def test_parts_that_are_dropped_meanwhile_are_no_damage(tmp_path: Path) -> None:
    """The 256th entry comes during the check, and the node removes every partial file."""
    board = written(tmp_path / "data", lots=0)
    enrol(board, (254 - board.state.size) // 2)
    state, time = board.state, board.time
    copy = shutil.copytree(board.data, tmp_path / "copy")
    parts = board.data / "log" / "tile" / "0" / "000.p"

    def grow() -> None:
        writer = board.open()
        for number in range(2):
            root = f"{number}".encode().ljust(32, b".")
            board.write(writer, board.maker.lot_enrol(root=root))
        writer.tidy()
        writer.close()

    for at in (2, LAST):
        assert parts.is_dir()
        check = Meanwhile(board.data, grow, at)
        assert whole(check.check()), at
        assert check.is_done
        assert not parts.exists()
        shutil.rmtree(board.data)
        shutil.copytree(copy, board.data)
        board.state, board.time = state, time


def test_releases_lots_and_manifests_that_come_meanwhile_are_no_damage(tmp_path: Path) -> None:
    with cli_world(tmp_path) as world:
        world.with_maker()
        world.publish("1.0")

        def go_on() -> None:
            enrol_devices(world)
            world.publish("1.1")
            world.call("release", "list", "bulb:r1")

        check = Meanwhile(world.data, go_on, LAST)
        assert whole(check.check())
        assert check.is_done
        assert (world.data / "fleet.db").exists()
        check = Meanwhile(world.data, lambda: world.publish("1.2"), 2)
        assert whole(check.check())


def test_a_rotation_of_keys_meanwhile_is_no_damage(tmp_path: Path) -> None:
    with cli_world(tmp_path) as world:
        words = ["operator", "rotate-keys", "--data", str(world.data), "--board", world.url]
        for at, key in ((2, "log"), (LAST, "cosigner")):
            check = Meanwhile(world.data, lambda: world.call(*words, "--key", key), at)  # noqa: B023
            assert whole(check.check())
            assert check.is_done


def test_what_lies_beyond_the_end_is_not_to_be_removed_while_a_node_may_be_writing_it(
    tmp_path: Path,
) -> None:
    board = written(tmp_path / "data", lots=1)
    tile = board.data / "log" / "tile" / "0" / "000.p" / "9"
    write_file(tile, bytes(9 * 32))
    (found,) = check_folder(board.data, reader(board.data / "log"), progress=silent).damaged
    assert (found.file, found.advice.split(";")[0]) == (str(tile), "check again")


def test_a_log_that_lost_its_end_keeps_its_mark_and_every_file(tmp_path: Path) -> None:
    """What was signed is more than what is there: an older mark would allow a second history."""
    board = written(tmp_path / "data", lots=1)
    older = (board.data / "log" / "checkpoint").read_bytes()
    enrol(board, 1)
    write_file(board.data / "log" / "checkpoint", older)
    (board.data / "log" / "tile" / "entries" / "000.p" / "10").unlink()
    (board.data / "state.db").unlink()
    report = check_folder(board.data, reader(board.data / "log"), progress=silent)
    advice = {Path(one.file).name: one.advice for one in report.damaged}
    assert advice.keys() == {"10", "largest-signed"}
    assert all(
        one.startswith("remove nothing, and put back no older mark") for one in advice.values()
    )


def test_a_list_made_after_the_end_of_the_log_names_a_batch_that_came_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: files and mark are looked at last, as they are then."""
    board = written(tmp_path / "data", lots=1)
    real = fsck_folder.FolderCheck.findings

    def late(check: fsck_folder.FolderCheck, *args: Any, **more: Any) -> Iterator[Finding]:
        check._seen = FirstLook(board.data, tmp_path)
        return real(check, *args, **more)

    monkeypatch.setattr(fsck_folder.FolderCheck, "findings", late)
    report = Meanwhile(board.data, lambda: enrol(board, 1), LAST).check()
    assert {Path(one.file).name for one in report.damaged} == {"10", "largest-signed"}
    assert SignedMark(board.data / "keys").size == 10
