# SPDX-License-Identifier: Apache-2.0
"""What programs take before they do anything: memory of node and agent, time of a start.

Boards of a million entries are written by the real store with filler for posts (`big_board`),
since a start reads the log's right edge and state.db alone. The node's memory is what it holds
after a start and 200 check-ins, page cache of other people's files not counted.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.agent_memory import image, peaks
from benchmarks.big_board import make_wide_board
from benchmarks.makers import MakerCrowd
from benchmarks.measure import Result
from benchmarks.processes import Serving, node
from fieldpost.client.transport import HttpClient

_ENTRIES = 1_000_000
_HELPS = 11
_STARTS = 3
_CHECK_INS = 200


def results() -> Iterator[Result]:
    """Commands, then nodes, then the agent."""
    ms = [_seconds("--help") * 1e3 for _ in range(_HELPS)]
    what = "`fieldpost --help`, median"
    yield Result(what=what, unit="ms", ours=median(ms), bar=150, at_most=True)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        crowd = MakerCrowd(folder / "small", makers=1)
        with node(crowd.data) as board:
            path = f"/v1/checkin/{crowd.class_id.hex()}/stable"
            with HttpClient(board.url) as http:
                for _ in range(_CHECK_INS):
                    http.fetch(path)
            mb = _holds_mb(board)
        yield Result(what="node, idle: memory", unit="MB", ours=mb, bar=120, at_most=True)
        for keys, bar in ((10**5, 2.0), (10**6, None)):
            data = folder / f"keys{keys}"
            make_wide_board(data, entries=_ENTRIES, keys=keys)
            starts = [_start(data) for _ in range(_STARTS)]
            what = f"node restarted, 10^6 entries, {keys:,} keys"
            yield Result(
                what=what,
                unit="s",
                ours=median(seconds for seconds, _ in starts),
                bar=bar,
                at_most=True,
            )
            yield Result(what="  memory of it", unit="MB", ours=median(held for _, held in starts))
    yield from _agent()


def _agent() -> Iterator[Result]:
    for window_log, form in ((None, "plain"), (22, "zstd, window of 4 MiB")):
        mib = max(
            float(number) for number in re.findall(r"[0-9.]+(?= MiB)", peaks(image(), window_log))
        )
        what = f"agent that installs 40 MiB, {form}: memory"
        yield Result(what=what, unit="MB", ours=mib * 1.048576, bar=45, at_most=True)


def _seconds(*arguments: str) -> float:
    """From the start of a command to its end."""
    command = [str(Path(sys.executable).with_name("fieldpost")), *arguments]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _start(data: Path) -> tuple[float, float]:
    """Seconds from the start of a node to its first answer, and MB that it holds then."""
    began = time.perf_counter()
    with node(data) as board:
        with HttpClient(board.url) as http:
            http.fetch("/log/checkpoint")
        return time.perf_counter() - began, _holds_mb(board)


def _holds_mb(board: Serving) -> float:
    """Memory of the node's process now, in 10^6 bytes (Linux)."""
    found = re.search(r"VmRSS:\s*([0-9]+) kB", Path(f"/proc/{board.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1_024 / 1e6
