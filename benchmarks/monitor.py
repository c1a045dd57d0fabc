# SPDX-License-Identifier: Apache-2.0
"""A monitor of 1,000 makers: from a post to its alarm, the first look, and the memory of it.

The monitor is a process that looks every second at a node beside it. Every maker expects nothing,
so every post alarms; the clock runs from the first byte of the post until its alarm was read from
the monitor's standard output. Posts come at random moments between looks.
"""

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.makers import MakerCrowd
from benchmarks.measure import Result
from benchmarks.processes import Serving, node
from fieldpost.client.publisher import submit_post
from fieldpost.client.transport import HttpClient

_MAKERS = 1_000
_EVERY_S = 1.0
_POSTS = 100


@dataclass(frozen=True, slots=True)
class _Watching:
    """A monitor process; `line` reads the next line of what it says."""

    serving: Serving
    process: "subprocess.Popen[str]"

    def line(self) -> dict[str, object]:
        assert self.process.stdout is not None
        said: dict[str, object] = json.loads(self.process.stdout.readline())
        return said


def results() -> Iterator[Result]:
    """One run."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        crowd = MakerCrowd(folder / "data", makers=_MAKERS)
        expected = folder / "expected.toml"
        expected.write_text("version = 1\n" + "".join(map(_expects_nothing, crowd.maker_ids)))
        posts = [post for _, post in crowd.rollouts(_POSTS)]
        with node(crowd.data) as board:
            began = time.perf_counter()
            with _monitor(folder / "monitor", board.url, expected) as monitor:
                _first_look(monitor, folder)
                first_s = time.perf_counter() - began
                waits = sorted(_alarm_of(monitor, board.url, posts))
                before, looked = monitor.serving.cpu_s(), time.perf_counter()
                time.sleep(5)
                idle = (monitor.serving.cpu_s() - before) / (time.perf_counter() - looked)
                peak = monitor.serving.peak_mb()
    what = f"monitor of {_MAKERS:,} makers, post to alarm"
    yield Result(what=f"{what}, median", unit="s", ours=waits[len(waits) // 2])
    p99 = waits[int(0.99 * len(waits))]
    bar = 2 * _EVERY_S
    yield Result(what=f"{what}, 99 of 100", unit="s", ours=p99, bar=bar, at_most=True)
    yield Result(what="  until it has judged the board", unit="s", ours=first_s)
    yield Result(what="  processor while nothing happens", unit="%", ours=100 * idle)
    yield Result(what="  memory, the board's state included", unit="MB", ours=peak)


def _expects_nothing(maker: bytes) -> str:
    return f'[[maker]]\nid = "{maker.hex()}"\nkinds = []\n'


@contextmanager
def _monitor(data: Path, url: str, expected: Path) -> Iterator[_Watching]:
    words = ("monitor", "run", "--data", str(data), "--board", url, "--expect", str(expected))
    command = [sys.executable, "-m", "fieldpost.cli", *words, "--every", str(_EVERY_S), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        watching = _Watching(Serving(url, process.pid), process)
        assert watching.line()["event"] == "ready"
        yield watching
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _first_look(monitor: _Watching, folder: Path) -> None:
    """Wait until the history is judged: then its makers are in the database."""
    while not list(folder.glob("monitor/log/checkpoint")) or not _judged(folder):
        assert monitor.process.poll() is None
        time.sleep(0.05)


def _judged(folder: Path) -> bool:
    with sqlite3.connect(folder / "monitor" / "monitor.db") as db:
        rows = db.execute("SELECT value FROM meta WHERE name = 'judged'").fetchall()
    return bool(rows)


def _alarm_of(monitor: _Watching, url: str, posts: list[bytes]) -> Iterator[float]:
    random = Random(1)
    with HttpClient(url) as http:
        for post in posts:
            time.sleep(random.uniform(0, 2 * _EVERY_S))
            began = time.perf_counter()
            submit_post(http, post)
            said = monitor.line()
            yield time.perf_counter() - began
            assert said["kind"] == "unexpected-post", said
