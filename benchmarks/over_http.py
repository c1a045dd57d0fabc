# SPDX-License-Identifier: Apache-2.0
"""Check-ins of a node over HTTP on loopback, beside nginx that serves the same bytes as a file.

wrk keeps 64 connections alive and shares the cores with whoever serves. Node and nginx (one worker,
`open_file_cache`) are asked in turns; the numbers are the medians of the rounds.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.makers import MakerCrowd
from benchmarks.measure import Result
from benchmarks.processes import has, nginx, node, requests_per_second
from fieldpost.client.transport import HttpClient

# So many fill the map enough for a check-in of 1 kB.
_MAKERS = 300
_ROUNDS = 5


def results() -> Iterator[Result]:
    """Measure one after the other."""
    if not has("wrk", "nginx"):
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        crowd = MakerCrowd(folder / "data", makers=_MAKERS)
        path = f"/v1/checkin/{crowd.class_id.hex()}/stable"
        with node(crowd.data) as board:
            with HttpClient(board.url) as http:
                body = http.fetch(path)
            with nginx(folder / "nginx", path, body) as other:
                time.sleep(0.5)
                yield from _in_turns(
                    board.url + path, other + path, f"check-ins of {len(body):,} bytes"
                )


def _in_turns(ours: str, theirs: str, what: str) -> Iterator[Result]:
    rounds = [(requests_per_second(ours), requests_per_second(theirs)) for _ in range(_ROUNDS)]
    mine, nginxs = (median(side) for side in zip(*rounds, strict=True))
    yield Result(
        what=f"{what}, 64 connections",
        unit="requests/s",
        ours=mine,
        bar=nginxs,
        against="nginx, the same bytes as a file",
        theirs=nginxs,
    )
    ratio = median(a / b for a, b in rounds)
    yield Result(what="  median of the rounds' ratios to nginx", unit="x", ours=ratio, bar=1.0)
    # A query keeps a request from the short way; the answer is the same.
    long_way = requests_per_second(f"{ours}?long-way")
    yield Result(what="  through the application", unit="requests/s", ours=long_way)
