# SPDX-License-Identifier: Apache-2.0
"""A node as a process: first start, restart, a calm end, and an end in the middle of everything."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from fieldpost.client.log import Log
from fieldpost.client.publisher import Accepted, fetch_receipt, submit_post, submit_posts
from fieldpost.client.transport import HttpClient
from fieldpost.errors import FieldpostError, Rejected, Unavailable
from fieldpost.records.state_leaf import is_state_leaf
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import parse_vkey
from fieldpost.tlog.offline import parse_offline_proof
from fieldpost.tlog.proof import verify_inclusion

pytestmark = pytest.mark.e2e


@dataclass(frozen=True, slots=True)
class Process:
    """A running node process, and what its ready line said."""

    popen: subprocess.Popen[str]
    url: str
    board: str

    def log(self, http: HttpClient) -> Log:
        match http.send("GET", "/v1/board").json():
            case {"origin": str(origin), "operators": [{"log_key": str(key)}, *_]}:
                return Log(http, origin=origin, keys=[parse_vkey(key)])
        raise AssertionError("the board view lacks its operator")

    def entries(self) -> list[bytes]:
        with HttpClient(self.url, timeout_s=60) as http:
            log = self.log(http)
            log.advance()
            return list(log.read_all())

    def end(self, number: int) -> int:
        self.popen.send_signal(number)
        return self.popen.wait(timeout=60)


def start(data: Path, *options: str) -> Process:
    command = [sys.executable, "-m", "fieldpost.cli", "node", "run", "--data", str(data)]
    popen = subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--json", *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert popen.stdout is not None
    ready = json.loads(popen.stdout.readline())
    assert ready["event"] == "ready"
    return Process(popen, ready["url"], ready["board"])


@contextmanager
def node(data: Path, *options: str) -> Iterator[Process]:
    process = start(data, *options)
    try:
        yield process
    finally:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.wait(timeout=60)
        assert process.popen.stdout is not None
        process.popen.stdout.close()


def test_a_board_survives_the_process(tmp_path: Path) -> None:
    """First start, post, verified receipt, SIGTERM, restart: the same board, the same receipt."""
    with node(tmp_path, "--origin", "board.example/1") as first:
        assert first.board.startswith("board.example/1#")
        world = MirroredBoard(first.entries)
        entry = world.maker.registration()
        with HttpClient(first.url, timeout_s=60) as http:
            accepted = submit_post(http, entry)
        proof = parse_offline_proof(accepted.receipt)
        with HttpClient(first.url, timeout_s=60) as http:
            head = first.log(http).advance()
        verify_inclusion(
            leaf_hash=leaf_hash(entry),
            index=proof.index,
            size=head.size,
            root=head.root,
            path=proof.path,
        )
        assert first.end(signal.SIGTERM) == 0
    with node(tmp_path) as second:
        assert second.board == first.board
        assert second.entries()[accepted.index] == entry
        with HttpClient(second.url, timeout_s=60) as http:
            assert parse_offline_proof(fetch_receipt(http, entry)).index == accepted.index
        assert second.end(signal.SIGINT) == 0


def test_the_ready_line_is_for_people_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fieldpost.cli", "node", "run", "--data", str(tmp_path)]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as popen:
        assert popen.stdout is not None
        line = popen.stdout.readline()
        popen.terminate()
        popen.wait(timeout=60)
    assert line.startswith("ready http://127.0.0.1:")
    assert line.endswith(" (solo, trial)\n")


def test_two_processes_do_not_share_a_board(tmp_path: Path) -> None:
    with node(tmp_path):
        command = [sys.executable, "-m", "fieldpost.cli", "node", "run", "--data", str(tmp_path)]
        second = subprocess.run(
            [*command, "--listen", "127.0.0.1:0"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert second.returncode == 78
    assert "another node process" in second.stderr


class Load(threading.Thread):
    """A maker that posts releases one request after the other until the node is gone."""

    def __init__(self, url: str, posts: list[bytes], batch: int) -> None:
        super().__init__()
        self._url = url
        self._posts = posts
        self._batch = batch
        self.acknowledged: list[tuple[bytes, Accepted]] = []
        self.refused: list[Rejected] = []
        self.enough = threading.Event()

    def run(self) -> None:
        with HttpClient(self._url, timeout_s=60) as http, suppress(Unavailable):
            for at in range(0, len(self._posts), self._batch):
                sent = self._posts[at : at + self._batch]
                for post, result in zip(sent, submit_posts(http, sent), strict=True):
                    if isinstance(result, Accepted):
                        self.acknowledged.append((post, result))
                    else:
                        self.refused.append(result)
                if len(self.acknowledged) >= 40:
                    self.enough.set()


def prepare(process: Process) -> tuple[MirroredBoard, list[bytes]]:
    """A registered maker with a class, and 400 releases that it signed, nonces in order."""
    world = MirroredBoard(process.entries)
    with HttpClient(process.url, timeout_s=60) as http:
        for post in (world.maker.registration, world.maker.class_set):
            submit_post(http, post())
            world.refresh()
    return world, [world.maker.release_publish(sequence) for sequence in range(1, 401)]


@pytest.mark.crash
@pytest.mark.parametrize("batch", [1, 7])
def test_killed_under_load_it_has_lost_nothing_acknowledged(tmp_path: Path, batch: int) -> None:
    """Kill -9 while posts stream in: what was acknowledged is in the log, no half batch is."""
    with node(tmp_path) as process:
        _, posts = prepare(process)
        load = Load(process.url, posts, batch)
        load.start()
        assert load.enough.wait(60)
        process.popen.kill()
        process.popen.wait(timeout=60)
        load.join(timeout=60)
        assert not load.is_alive()
    assert not load.refused
    assert 40 <= len(load.acknowledged) < len(posts), "it died in the middle"
    with node(tmp_path) as process:
        entries = process.entries()
        for post, accepted in load.acknowledged:
            assert entries[accepted.index] == post
        assert is_state_leaf(entries[-1]), "a log ends with the state of a whole batch"
        MirroredBoard(lambda: entries)  # replays every batch, and judges every state leaf
        in_log = [post for post in posts if post in set(entries)]
        assert in_log == posts[: len(in_log)], "posts are in their order, with no hole"
        with HttpClient(process.url, timeout_s=60) as http:
            rest = submit_posts(http, posts[len(in_log) : len(in_log) + 5])
        assert all(isinstance(result, Accepted) for result in rest), "and it goes on from there"


def test_stopped_under_load_it_finishes_what_it_took(tmp_path: Path) -> None:
    """SIGTERM while posts stream in: exit 0, and every acknowledged post is there."""
    with node(tmp_path) as process:
        _, posts = prepare(process)
        load = Load(process.url, posts, 3)
        load.start()
        assert load.enough.wait(60)
        assert process.end(signal.SIGTERM) == 0
        load.join(timeout=60)
    assert not load.refused
    assert load.acknowledged
    with node(tmp_path) as process:
        entries = process.entries()
        for post, accepted in load.acknowledged:
            assert entries[accepted.index] == post


def test_a_node_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with node(tmp_path) as process:
        url = process.url
        assert process.end(signal.SIGTERM) == 0
    with pytest.raises(FieldpostError), HttpClient(url, timeout_s=5) as http:
        http.fetch("/healthz")
