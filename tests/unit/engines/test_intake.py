# SPDX-License-Identifier: Apache-2.0
"""The queue of an engine: halves that go round, order that is kept, and an end that comes."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue

import pytest

from fieldpost.engines.base import Answer
from fieldpost.engines.intake import Intake
from fieldpost.engines.pace import Pace
from fieldpost.engines.verifier import Question, Verdict
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import Unavailable
from fieldpost.ledger.context import Reader
from fieldpost.statemap import StateMap

WAIT_S = 60.0


class Held(Verifiers):
    """Verifies when it is told to; counts who asks."""

    def __init__(self) -> None:
        super().__init__(0)
        self.asked: list[Future[Sequence[Verdict]]] = []
        self.news = threading.Condition()

    def verify_posts(self, questions: Sequence[Question]) -> Future[Sequence[Verdict]]:
        assert not questions  # what the tests post has no signature
        with self.news:
            self.asked.append(Future())
            self.news.notify_all()
            return self.asked[-1]

    def wait_for(self, count: int) -> None:
        with self.news:
            assert self.news.wait_for(lambda: len(self.asked) >= count, WAIT_S)


class Door:
    """The newest map, which the reading thread gets once the door is open."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def newest_map(self) -> Reader:
        self.reached.set()
        assert self.opened.wait(WAIT_S)
        return StateMap.empty()


def bodies(count: int) -> list[bytes]:
    return [b"post %d" % number for number in range(count)]


def ignore(_answers: Sequence[Answer]) -> None:
    pass


@pytest.fixture
def verifiers() -> Held:
    return Held()


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def intake(verifiers: Held, door: Door) -> Iterator[Intake]:
    # Time stands still and everybody is busy: no wait ends by itself.
    pace = Pace(uptime=lambda: 0.0, used=iter(range(10**9)).__next__)
    made = Intake(door.newest_map, most_waiting=1_000, verifiers=verifiers, pace=pace)
    yield made
    door.opened.set()
    made.close()
    made.join()


def test_half_of_those_on_their_way_is_collected_while_the_others_are_verified(
    intake: Intake, verifiers: Held, door: Door
) -> None:
    posts = bodies(129)
    intake.submit(posts[:1], ignore)
    assert door.reached.wait(WAIT_S)
    for post in posts[1:]:
        intake.submit([post], ignore)
    door.opened.set()
    verifiers.wait_for(3)
    verifiers.asked[0].set_result([])
    alone = intake.collect(most_s=WAIT_S)  # nothing went round before
    verifiers.asked[1].set_result([])
    half = intake.collect(most_s=WAIT_S)

    assert [waiting.read.entry for waiting in alone.posts] == posts[:1]
    assert [waiting.read.entry for waiting in half.posts] == posts[1:65]


def test_waiting_for_those_who_were_answered_ends_when_the_intake_closes(
    intake: Intake, verifiers: Held, door: Door
) -> None:
    door.opened.set()
    intake.submit(bodies(64), ignore)
    verifiers.wait_for(1)
    verifiers.asked[0].set_result([])
    first = intake.collect(most_s=WAIT_S)
    threading.Timer(0, intake.close).start()
    second = intake.collect(most_s=WAIT_S)  # nobody comes again

    assert (len(first.posts), len(second.posts)) == (64, 0)
    assert intake.is_drained


def test_posts_that_cannot_be_read_are_refused_and_the_next_ones_are_not(
    verifiers: Held,
) -> None:
    memory = iter([MemoryError()])

    def newest_map() -> Reader:
        for missing in memory:
            raise missing
        return StateMap.empty()

    intake = Intake(newest_map, most_waiting=3, verifiers=verifiers)
    answers: SimpleQueue[Sequence[Answer]] = SimpleQueue()
    intake.submit(bodies(3), answers.put)
    refused = answers.get(timeout=WAIT_S)
    assert [type(answer) for answer in refused] == [Unavailable] * 3
    assert intake.waiting == 0

    intake.submit(bodies(3), answers.put)
    verifiers.wait_for(1)
    verifiers.asked[0].set_result([])
    assert len(intake.collect(most_s=WAIT_S).posts) == 3
    intake.close()
    assert not intake.collect(most_s=WAIT_S).posts
    assert intake.is_drained
    intake.join()


def test_posts_are_collected_whatever_became_of_those_who_verify(
    intake: Intake, verifiers: Held, door: Door
) -> None:
    door.opened.set()
    intake.submit(bodies(2), ignore)
    verifiers.wait_for(1)
    verifiers.asked[0].set_exception(MemoryError())
    collected = intake.collect(most_s=WAIT_S)
    assert (len(collected.posts), collected.valid) == (2, [])


def test_whoever_waits_is_answered_though_another_one_cannot_be(verifiers: Held) -> None:
    def broken(_answers: Sequence[Answer]) -> None:
        raise RuntimeError("a bug of a caller")

    intake = Intake(StateMap.empty, most_waiting=10, verifiers=verifiers)
    heard: list[Sequence[Answer]] = []
    for done in (broken, heard.append, broken):
        intake.submit(bodies(1), done)
    intake.abandon("over")
    assert [str(answer) for answers in heard for answer in answers] == ["over"]
    for asked in verifiers.asked:
        asked.set_result([])
    intake.join()


def test_a_reading_thread_that_is_told_to_end_and_does_so_at_once_has_not_failed() -> None:
    class Slow(SimpleQueue[object]):
        """Whoever puts the end there goes on only when the reading thread has ended."""

        def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
            super().put(item, block, timeout)
            if item is None:
                intake._thread.join(WAIT_S)
                taken.append(intake._take(WAIT_S))

    taken: list[object] = []
    intake = Intake(StateMap.empty, most_waiting=1, verifiers=Held())
    intake._arrivals.put(None)
    intake._thread.join(WAIT_S)
    # The same again, with a queue that is slow.
    intake._ready.get(timeout=WAIT_S)
    intake._arrivals = Slow()  # type: ignore[assignment]
    intake._thread = threading.Thread(target=intake._read, daemon=True)
    intake._thread.start()
    intake.close()
    assert taken == [None]
    assert intake.is_drained
    intake.join()
