# SPDX-License-Identifier: Apache-2.0
"""No alarm is lost or raised twice, whatever fails and is restarted; what waits is bounded."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

import pytest

from fieldpost.errors import Malformed, Misconfigured, Unavailable
from fieldpost.watch.monitor import memory as memory_module
from fieldpost.watch.monitor.alarm import Alarm
from fieldpost.watch.monitor.conditions import Conditions
from fieldpost.watch.monitor.courier import FIRST_WAIT_S, MOST_WAIT_S, Courier
from fieldpost.watch.monitor.memory import Memory


class Way:
    """A path that takes, refuses or is down, as it is told."""

    name = "test"

    def __init__(self, most: int = 1) -> None:
        self.most = most
        self.taken: list[str] = []
        self.is_down = False
        self.refuses: set[str] = set()

    def send(self, alarms: Sequence[Alarm]) -> None:
        if self.is_down:
            raise Unavailable("down")
        if any(alarm.text in self.refuses for alarm in alarms):
            raise Malformed("no")
        self.taken += [alarm.text for alarm in alarms]


def alarm(text: str) -> Alarm:
    return Alarm(kind="new-lot", board="b", text=text, at=1, about=text)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    found = Memory(tmp_path)
    yield found
    found.close()


class Clock:
    now = 1_000

    def __call__(self) -> int:
        return self.now


def test_alarms_are_delivered_in_order_and_once(memory: Memory) -> None:
    path = Way()
    courier = Courier(memory, [path], Clock())
    memory.raise_alarms([alarm("a"), alarm("b")], courier.names)
    courier.deliver(path)
    courier.deliver(path)
    assert path.taken == ["a", "b"]


def test_an_alarm_raised_again_is_not_sent_again(memory: Memory) -> None:
    path = Way()
    courier = Courier(memory, [path], Clock())
    assert memory.raise_alarms([alarm("a")], courier.names)
    courier.deliver(path)
    assert memory.raise_alarms([alarm("a")], courier.names) == []
    courier.deliver(path)
    assert path.taken == ["a"]


def test_what_a_dead_path_owes_survives_a_restart(tmp_path: Path) -> None:
    path = Way()
    path.is_down = True
    first = Memory(tmp_path)
    courier = Courier(first, [path], Clock())
    first.raise_alarms([alarm("a"), alarm("b")], courier.names)
    assert courier.deliver(path) == FIRST_WAIT_S
    first.close()
    path.is_down = False
    second = Memory(tmp_path)
    Courier(second, [path], Clock()).deliver(path)
    second.close()
    assert path.taken == ["a", "b"]


def test_a_dead_path_is_left_alone_for_ever_longer(memory: Memory) -> None:
    path = Way()
    path.is_down = True
    courier = Courier(memory, [path], Clock())
    memory.raise_alarms([alarm("a")], courier.names)
    waits = [courier.deliver(path) for _ in range(9)]
    assert waits[:3] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    assert waits[-1] == MOST_WAIT_S


def test_one_alarm_that_is_refused_holds_up_no_other(memory: Memory) -> None:
    path, clock = Way(), Clock()
    path.refuses = {"a"}
    courier = Courier(memory, [path], clock)
    memory.raise_alarms([alarm("a"), alarm("b")], courier.names)
    courier.deliver(path)
    assert path.taken == ["b"]
    path.refuses = set()
    courier.deliver(path)
    assert path.taken == ["b"], "it waits for its own time"
    clock.now += 86_400
    courier.deliver(path)
    assert path.taken == ["b", "a"]


def test_a_bug_in_a_path_loses_nothing(memory: Memory) -> None:
    class Broken(Way):
        def send(self, alarms: Sequence[Alarm]) -> None:
            raise ZeroDivisionError

    broken = Broken()
    courier = Courier(memory, [broken], Clock())
    memory.raise_alarms([alarm("a")], courier.names)
    assert courier.deliver(broken) == MOST_WAIT_S
    assert memory.owed_count("test") == 1


def test_every_path_has_its_own_queue(memory: Memory) -> None:
    path, other = Way(), Way()
    other.name = "other"
    path.is_down = True
    courier = Courier(memory, [path, other], Clock())
    memory.raise_alarms([alarm("a")], courier.names)
    courier.deliver(path)
    courier.deliver(other)
    assert (path.taken, other.taken) == ([], ["a"])


def test_threads_deliver_what_is_raised_while_they_run(memory: Memory) -> None:
    path = Way()
    with Courier(memory, [path], Clock()) as courier:
        memory.raise_alarms([alarm("a")], courier.names)
        courier.wake()
        pause = Event()
        for _ in range(20 * 60):
            if not memory.owed_count("test"):
                break
            pause.wait(0.05)
    assert path.taken == ["a"]


def test_a_full_queue_says_so_once_and_keeps_every_alarm(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_module, "MOST_WAITING", 3)
    path = Way(most=100)
    courier = Courier(memory, [path], Clock())
    memory.raise_alarms([alarm(str(number)) for number in range(10)], courier.names)
    assert memory.owed_count("test") == 4
    courier.deliver(path)
    assert path.taken[:3] == ["0", "1", "2"]
    assert "over 3 alarms wait" in path.taken[3]
    kept = [one.text for _, one in memory.alarms()]
    assert [text for text in kept if text.isdigit()] == [str(number) for number in range(10)]


def test_a_path_that_is_configured_no_more_is_forgotten_and_its_alarms_kept(
    memory: Memory,
) -> None:
    memory.raise_alarms([alarm("a")], ["old"])
    assert memory.forget_paths(["new"]) == ["old"]
    assert memory.owed_count("old") == 0
    assert [one.text for _, one in memory.alarms()] == ["a"]


def test_nothing_of_a_transaction_that_failed_is_there(memory: Memory) -> None:
    def fail() -> None:
        with memory.transaction():
            memory.raise_alarms([alarm("a")], ["test"])
            memory.set_meta("judged", "7")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (memory.judged, memory.alarms(), memory.owed_count("test")) == (0, [], 0)


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    memory._db.execute("PRAGMA user_version = 99")
    memory.close()
    with pytest.raises(Misconfigured, match="newer"):
        Memory(tmp_path)


def told(memory: Memory) -> list[tuple[str, bool]]:
    return [(one.kind, one.over) for _, one in memory.alarms()]


def say(memory: Memory, now: int, *, holds: bool, after_s: int = 0) -> None:
    with memory.transaction():
        conditions = Conditions(memory, "b", ["test"], now)
        conditions.set("blind", "blind", holds, "dark", after_s=after_s)


def test_a_condition_alarms_when_it_begins_and_when_it_is_over(memory: Memory) -> None:
    for now, holds in enumerate((True, True, False, False, True), 100):
        say(memory, now, holds=holds)
    assert told(memory) == [("blind", False), ("blind", True), ("blind", False)]


def test_a_condition_that_lasts_over_a_restart_alarms_once(tmp_path: Path) -> None:
    for now in (100, 200):
        memory = Memory(tmp_path)
        say(memory, now, holds=True)
        kinds = told(memory)
        memory.close()
    assert kinds == [("blind", False)]


def test_what_must_last_alarms_only_after_its_time(memory: Memory) -> None:
    say(memory, 100, holds=True, after_s=60)
    say(memory, 159, holds=True, after_s=60)
    assert told(memory) == []
    say(memory, 160, holds=True, after_s=60)
    assert told(memory) == [("blind", False)]
    say(memory, 170, holds=False, after_s=60)
    assert told(memory) == [("blind", False), ("blind", True)]


def test_what_goes_away_before_its_time_alarms_nobody(memory: Memory) -> None:
    say(memory, 100, holds=True, after_s=60)
    say(memory, 130, holds=False, after_s=60)
    say(memory, 170, holds=True, after_s=60)
    assert told(memory) == []
