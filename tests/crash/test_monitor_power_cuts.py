# SPDX-License-Identifier: Apache-2.0
"""A monitor after a power cut inside of any commit of its database: no alarm is lost, none comes
twice, and every path still gets what it did not take."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest

from fieldpost.keys import Algorithm
from fieldpost.records.maker import Role
from fieldpost.testing import maker_posts
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.torn_database import (
    Files,
    read_database,
    torn_databases,
    write_database,
)
from fieldpost.watch.monitor.alarm import Alarm
from fieldpost.watch.monitor.looking import Patience
from fieldpost.watch.monitor.memory import Memory
from fieldpost.watch.monitor.running import MonitorSettings, open_monitor
from fieldpost.watch.monitor.watchlist import Watchlist
from tests.attacks.test_lying_source_attacks import (
    serving,
    serving_folder,
    sign_alone,
    write_another_end,
)
from tests.attacks.test_monitor_attacks import post
from tests.unit.engines.mirrored_boards import copy, enrol, written

pytestmark = pytest.mark.crash
DATABASE = "monitor.db"
PATH = "a webhook"
# The database before and after each commit, in order.
Commits = list[tuple[Files, Files]]


@contextmanager
def recorded(commits: Commits, *, in_one: bool = True) -> Iterator[None]:
    """Monitors opened inside tell of every commit; without `in_one` each statement is a commit."""
    files: dict[int, Path] = {}
    true_begin, true_do, true_transaction = Memory.__init__, Memory._do, Memory.transaction

    def note(memory: Memory, work: Callable[[], None]) -> None:
        before = read_database(files[id(memory)])
        work()
        commits.append((before, read_database(files[id(memory)])))

    def begin(self: Memory, data: Path) -> None:
        true_begin(self, data)
        files[id(self)] = data / DATABASE

    def do(self: Memory, sql: str, values: tuple[object, ...] = ()) -> int:
        if self._db.in_transaction:
            return true_do(self, sql, values)
        done: list[int] = []
        note(self, lambda: done.append(true_do(self, sql, values)))
        return done[0]

    @contextmanager
    def transaction(self: Memory) -> Iterator[None]:
        before = read_database(files[id(self)])
        with true_transaction(self) if in_one else _nothing():
            yield
        if in_one:
            commits.append((before, read_database(files[id(self)])))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Memory, "__init__", begin)
        patch.setattr(Memory, "_do", do)
        patch.setattr(Memory, "transaction", transaction)
        yield


@contextmanager
def _nothing() -> Iterator[None]:
    yield


class Silent:
    """A path that was never asked, so it owes everything."""

    name = PATH
    most = 1

    def send(self, alarms: Sequence[Alarm]) -> None:
        raise AssertionError(f"nobody delivers here: {len(alarms)} alarms")


class Line:
    """A board with something to alarm about in every look, and the monitor that looks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "monitor"
        self.board = written(folder / "data", lots=2)
        copy(self.board.data, folder / "fork")
        self._serving = ExitStack()
        self.urls = tuple(
            self._serving.enter_context(serving(serving_folder(data)))
            for data in (self.board.data, folder / "fork")
        )
        self.look(self.data, looks=1)

    def close(self) -> None:
        self._serving.close()

    def happen(self) -> None:
        """A thief adds a key of its own, a lot is enrolled, and an operator forks."""
        thief = DeterministicSigner(Algorithm.ED25519, "thief")
        post(
            self.board,
            maker_posts.maker_set(self.board.maker, keys={Role.RELEASE: (1, [thief])}),
        )
        enrol(self.board, 1)
        write_another_end(self.board, self.folder / "fork", posts=1)
        sign_alone(self.folder / "fork", None)

    def look(self, data: Path, *, looks: int = 2) -> list[str]:
        """Looks of a monitor over `data`, each by a new process, so to say; the kinds of all alarms
        that a path owes then."""
        settings = MonitorSettings(
            data=data, urls=self.urls, patience=Patience(stale_s=900, blind_s=900, ask_s=60.0)
        )
        for _ in range(looks):
            watchlist = Watchlist([self.board.maker.id], [])
            with open_monitor(settings, watchlist, [Silent()], clock=self.now) as monitor:
                monitor.look()
                owed = monitor.memory.owed(PATH, 1 << 40, 1_000)
        return sorted(item.alarm.kind for item in owed)

    def now(self) -> int:
        return self.board.time + 60


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    made.happen()
    yield made
    made.close()


def after_cuts(line: Line, commits: Commits) -> list[list[str]]:
    """What a monitor has alarmed in all that starts after a power cut, for each that may be."""
    at_rest, found = line.folder / "rest", []
    shutil.copytree(line.data, at_rest)
    for moment, (before, after) in enumerate(commits):
        for left in torn_databases(before, after, chance=Random(moment), by_lot=1):
            target = line.folder / "cut"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(at_rest, target)
            write_database(target / DATABASE, left)
            found.append(line.look(target))
    return found


EVERYTHING = ["new-key", "new-lot", "new-record", "split-view"]


def test_no_power_cut_inside_a_commit_loses_an_alarm_or_raises_one_twice(line: Line) -> None:
    commits: Commits = []
    with recorded(commits):
        assert line.look(line.data, looks=1) == EVERYTHING
    found = after_cuts(line, commits)
    assert len(found) > 20
    assert [kinds for kinds in found if kinds != EVERYTHING] == []


def test_control_where_every_statement_is_a_commit_a_power_cut_loses_an_alarm(
    line: Line,
) -> None:
    """What the monitor knows of the maker is on the disk then, and what it was to say is not."""
    commits: Commits = []
    with recorded(commits, in_one=False):
        line.look(line.data, looks=1)
    assert any("new-key" not in kinds for kinds in after_cuts(line, commits[:4]))
