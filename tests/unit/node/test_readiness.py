# SPDX-License-Identifier: Apache-2.0
"""Ready means: posts can be written now, and what devices get is fresh."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldpost.durable import OS
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.errors import Unavailable
from fieldpost.node import readiness
from fieldpost.node.api.problems import problem_document
from fieldpost.node.callers import Callers, network_of, noun_of
from fieldpost.node.readiness import Readiness
from fieldpost.testing.boards import BoardOnDisk
from tests.unit.node.running_node import NOW, Running, with_class

WAIT_S = 60.0


class Room:
    """A real disk that can be full: then nothing more is written, and nothing is lost."""

    def __init__(self) -> None:
        self.is_full = False

    def __getattr__(self, name: str) -> object:
        return getattr(OS, name)

    def write(self, fd: int, data: memoryview) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return OS.write(fd, data)


class Subject:
    """A board, its engine and its readiness over one disk."""

    def __init__(self, data: Path) -> None:
        self.room = Room()
        self.board = BoardOnDisk(data)
        self.now = self.board.time
        self.up = 0.0
        disk = self.room
        self.engine = EmbeddedEngine(
            data,
            clock=lambda: self.now,
            uptime=lambda: float(self.now),
            disk=disk,  # type: ignore[arg-type]
        )
        self.readiness = Readiness(
            self.engine,
            data,
            clock=lambda: self.now,
            uptime=lambda: self.up,
            disk=disk,  # type: ignore[arg-type]
        )


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    made = Subject(tmp_path / "data")
    yield made
    made.engine.close()


def test_a_full_disk_costs_no_post_that_was_acknowledged_and_says_what_to_do(
    subject: Subject,
) -> None:
    subject.readiness.check()
    first, second = subject.board.maker.registration(), subject.board.maker.class_set
    subject.board.apply([first])
    receipt = subject.engine.submit(first).result(WAIT_S)
    root = subject.engine.published().map.root
    subject.room.is_full = True
    post = second()
    for _ in range(3):
        with pytest.raises(Unavailable, match="free some space") as refused:
            subject.engine.submit(post).result(WAIT_S)
        document = problem_document(refused.value)
        assert (document["status"], bool(document["next"])) == (507, True)
        assert refused.value.retry_after_s
        assert subject.engine.published().map.root == root, "what was there is served"
    subject.up += 10
    with pytest.raises(Unavailable, match="free some space"):
        subject.readiness.check()
    subject.room.is_full = False
    subject.up += 10
    assert subject.engine.submit(post).result(WAIT_S).index == receipt.size
    assert subject.engine.submit(first).result(WAIT_S) == receipt
    subject.readiness.check()


def test_little_room_is_told_before_there_is_none_and_posts_are_still_taken(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "LEAST_FREE_BYTES", 2**70)
    with pytest.raises(Unavailable, match="MiB left: free some space"):
        subject.readiness.check()
    assert subject.engine.submit(subject.board.maker.registration()).result(WAIT_S).index == 2


@pytest.mark.parametrize(("ahead", "ready"), [(0, True), (120, True), (100_000, False)])
def test_a_head_older_than_two_epochs_is_not_ready(node: Running, ahead: int, ready: bool) -> None:
    """A clock that jumped by over a day stops the engine: then freshness is at risk."""
    assert node.http.fetch("/readyz") == b"ready\n"
    node.clock[0] = NOW + ahead
    if ready:
        assert node.http.fetch("/readyz") == b"ready\n"
    else:
        with pytest.raises(Unavailable):
            node.http.fetch("/readyz")
        assert "fieldpost_ready 0" in node.metrics.render()
    assert node.http.fetch("/healthz") == b"ok\n"


def test_an_engine_that_ended_is_not_ready(subject: Subject) -> None:
    subject.engine.close()
    with pytest.raises(Unavailable, match="restart"):
        subject.readiness.check()
    assert not subject.readiness.is_ready()


def test_metrics_answer_what_an_operator_asks(node: Running) -> None:
    with_class(node)
    text = node.metrics.render()
    for line in (
        "fieldpost_ready 1",
        "fieldpost_epoch_seconds 60",
        'fieldpost_posts_total{outcome="included"} 2',
        'fieldpost_requests_total{noun="posts",status="2xx"} 2',
    ):
        assert line in text.splitlines()
    assert 'fieldpost_requests_by_network{network="127.0.0.0/24"}' in text
    assert "fieldpost_disk_free_bytes " in text


def test_the_networks_that_ask_most_are_found_in_bounded_memory() -> None:
    callers = Callers(places=8)
    for number in range(2_000):
        callers.count(f"10.{number % 200}.{number % 7}.1")
        if number % 3 == 0:
            callers.count(f"2001:db8:7:{number}::1")
    first = next(iter(callers.busiest().items()))
    assert first[0] == "2001:db8:7::/48"
    assert 667 <= first[1] <= 667 + 2_667 / 8
    assert len(callers.busiest()) <= 8


@pytest.mark.parametrize(
    ("host", "network"),
    [("192.0.2.77", "192.0.2.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48"), ("x", "unknown")],
)
def test_clients_are_counted_by_network(host: str, network: str) -> None:
    assert network_of(host) == network


@pytest.mark.parametrize(
    ("path", "noun"),
    [
        ("/v1/posts", "posts"),
        ("/v1/checkin/00/stable", "checkin"),
        ("/log/checkpoint", "log"),
        ("/v1/whatever strangers send", "other"),
        ("/", "other"),
        ("", "other"),
    ],
)
def test_a_path_is_counted_under_one_of_a_few_words(path: str, noun: str) -> None:
    assert noun_of(path) == noun
