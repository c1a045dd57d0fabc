# SPDX-License-Identifier: Apache-2.0
"""Watching a whole board: fsck, rebuild and a mirror's first copy in entries a second; its lag.

    python -m benchmarks.mirrors --posts 100000     another length than `make bench` has

Every post is a true one, signed and judged. Rates are of the wall clock; processor time and memory
are of the whole process, with the verifying processes that it starts. The lag runs from a post's
receipt until the mirror shows the size that has it; posts come at moments that do not fit the poll.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import click

from benchmarks.big_board import make_true_board
from benchmarks.makers import MakerCrowd
from benchmarks.measure import Result
from benchmarks.processes import mirror, node
from fieldpost.client.publisher import submit_post
from fieldpost.client.transport import HttpClient

_POSTS = 10_000
_EVERY_S = 1.0
_TIMES = 100
_LOOK_S = 0.005


@click.command()
@click.option("--posts", type=int, default=_POSTS, show_default=True)
def main(*, posts: int) -> None:
    """Measure with a log of so many posts."""
    for result in results(posts):
        print(result.line(), flush=True)


def results(posts: int = _POSTS) -> Iterator[Result]:
    """Whole logs first, then the lag."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        make_true_board(folder / "board", posts=posts)
        data = folder / "board"
        size = int((data / "log" / "checkpoint").read_bytes().split(b"\n")[1])
        yield from _program(f"board fsck of a log of {size:,}", size, "board", "fsck", data / "log")
        yield from _program(f"board fsck of a node's folder, {size:,}", size, "board", "fsck", data)
        yield from _program(f"node rebuild, {size:,}", size, "node", "rebuild", "--data", data)
        yield from _first_copy(folder, data, size)
        rmtree(data)
        yield from _lag(folder)


def _program(what: str, entries: int, *words: str | Path) -> Iterator[Result]:
    command = [sys.executable, "-m", "fieldpost.cli", *map(str, words), "--json"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    yield Result(what=what, unit="entries/s", ours=entries / seconds)
    cpu = used.ru_utime + used.ru_stime
    yield Result(what="  a second of processor", unit="entries", ours=entries / cpu)
    yield Result(what="  memory, at most", unit="MB", ours=used.ru_maxrss * 1_024 / 1e6)


def _first_copy(folder: Path, data: Path, size: int) -> Iterator[Result]:
    with node(data) as source:
        began = time.perf_counter()
        with mirror(folder / "copy", source.url, every_s=_EVERY_S) as copied:
            seconds = time.perf_counter() - began
            yield Result(
                what=f"a mirror's first copy, {size:,}", unit="entries/s", ours=size / seconds
            )
            yield Result(what="  memory, at most", unit="MB", ours=copied.peak_mb())


def _lag(folder: Path) -> Iterator[Result]:
    crowd = MakerCrowd(folder / "crowd", makers=1)
    rollouts = crowd.rollouts(_TIMES)
    lags: list[float] = []
    with (
        node(crowd.data) as source,
        mirror(folder / "following", source.url, every_s=_EVERY_S) as copied,
        HttpClient(source.url) as http,
        HttpClient(copied.url) as there,
    ):
        for number, (_, post) in enumerate(rollouts):
            time.sleep(_EVERY_S * (number * 37 % 100) / 100)
            submit_post(http, post)
            began = time.perf_counter()
            wanted = _size(http)
            while _size(there) < wanted:
                time.sleep(_LOOK_S)
            lags.append(time.perf_counter() - began)
        held = copied.peak_mb()
    lags.sort()
    what = f"a mirror's lag, asking every {_EVERY_S:.0f} s"
    yield Result(what=f"{what}, median", unit="s", ours=lags[len(lags) // 2])
    yield Result(
        what=f"{what}, 99 of 100",
        unit="s",
        ours=lags[int(0.99 * len(lags))],
        bar=2 * _EVERY_S,
        at_most=True,
    )
    yield Result(what="  memory, at most", unit="MB", ours=held)


def _size(http: HttpClient) -> int:
    return int(http.fetch("/log/checkpoint").split(b"\n")[1])


if __name__ == "__main__":
    main()
