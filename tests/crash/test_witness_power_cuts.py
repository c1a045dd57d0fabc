# SPDX-License-Identifier: Apache-2.0
"""A witness after any power cut: what it gave out it still knows, and half of nothing is believed.

Its files are cut by the model of the disk, its database inside of every commit and checkpoint.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from random import Random

import pytest

from fieldpost.durable import OS, Disk
from fieldpost.errors import Misconfigured
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.power_cuts import PowerCuts
from fieldpost.testing.torn_database import read_database, torn_databases, write_database
from fieldpost.testing.volatile_disk import VolatileDisk
from fieldpost.watch.witness.database import FILE_NAME, WitnessDb
from fieldpost.watch.witness.judging import Cosigned
from fieldpost.watch.witness.keys import load_keys, make_keys
from fieldpost.watch.witness.service import Answer, WitnessService, check_remembers
from tests.unit.watch.witness_world import NAME, NOW, ToyLog

pytestmark = pytest.mark.crash
LOGS = [ToyLog("first.test/1", "first"), ToyLog("second.test/1", "second")]
WAIT_S = 60


@contextmanager
def opened(data: Path, disk: Disk = OS) -> Iterator[WitnessService]:
    """The witness itself over `data`, without a server."""
    db = WitnessDb(data)
    service = WitnessService(
        data,
        keys=load_keys(data),
        logs={log.origin: log.known() for log in LOGS},
        boards={},
        db=db,
        clock=lambda: NOW,
        uptime=lambda: 0.0,
        disk=disk,
    )
    try:
        yield service
    finally:
        service.close()
        db.close()


def ask(service: WitnessService, *bodies: bytes) -> list[Answer]:
    """The answers to requests that come at once."""
    answers: SimpleQueue[Answer] = SimpleQueue()
    for body in bodies:
        service.submit(body, None, answers.put)
    return [answers.get(timeout=WAIT_S) for _ in bodies]


def known(data: Path) -> dict[str, Cosigned]:
    """What a witness that starts over `data` knows. Raises Misconfigured if it refuses to."""
    db = WitnessDb(data)
    try:
        heads = db.load_heads()
    finally:
        db.close()
    check_remembers(data, heads)
    return heads


def lives(memory: Path, defences: Sequence[Defence]) -> tuple[int, list[str]]:
    """States that were judged, and what was wrong, over the first life of a witness."""
    data = memory / "data"
    data.mkdir(parents=True)
    promised: dict[str, int] = {}

    def judge(left: Path) -> None:
        try:
            load_keys(left)
        except Misconfigured:
            assert not promised, "keys are gone that cosigned"
            make_keys(left, NAME, post_quantum=True)
        sizes = {origin: head.size for origin, head in known(left).items()}
        for origin, size in promised.items():
            assert sizes.get(origin, -1) >= size, f"{origin}: size {size} was given out"

    disk = VolatileDisk(data)
    cuts = PowerCuts(disk, memory, judge, chance=Random(3))
    make_keys(data, NAME, post_quantum=True, disk=disk)
    with without(*defences), opened(data, disk) as service:
        for old, size in ((0, 1), (1, 7), (7, 256)):
            answers = ask(service, *(log.request(old, size) for log in LOGS))
            assert all(isinstance(answer, tuple) for answer in answers), answers
            promised.update((log.origin, size) for log in LOGS)
            cuts.promise()
    return cuts.judged, cuts.failures


def test_no_power_cut_makes_a_witness_forget_what_it_gave_out(memory: Path) -> None:
    judged, failures = lives(memory / "with", ())
    assert failures == []
    assert judged > 10
    _, failures = lives(memory / "without", (Defence.WITNESS_DURABLE,))
    assert failures, "control: without the commit before the answer it forgets"


def test_a_power_cut_inside_a_commit_leaves_the_head_before_or_the_head_after(
    memory: Path,
) -> None:
    data, copy = memory / "data", memory / "copy"
    make_keys(data, NAME, post_quantum=True)
    copy.mkdir()
    judged = 0
    with opened(data) as service:
        for moment, (old, size) in enumerate([(0, 1), (1, 7), (7, 7), (7, 256)]):
            before = read_database(data / FILE_NAME)
            allowed = [service.head_of(log.origin) for log in LOGS]
            ask(service, *(log.request(old, size) for log in LOGS))
            after = read_database(data / FILE_NAME)
            allowed += [service.head_of(log.origin) for log in LOGS]
            for left in torn_databases(before, after, chance=Random(moment)):
                write_database(copy / FILE_NAME, left)
                db = WitnessDb(copy)
                heads = [db.load_heads().get(log.origin) for log in LOGS]
                db.close()
                assert all(head in allowed for head in heads), f"after {old} -> {size}"
                judged += 1
    assert judged > 100
