# SPDX-License-Identifier: Apache-2.0
"""Check-ins of a node over HTTP on loopback, beside nginx; the load generator shares the cores."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.makers import MakerCrowd
from benchmarks.measure import Result
from benchmarks.processes import has, nginx, node, requests_per_second
from fieldpost.client.transport import HttpClient


def results() -> Iterator[Result]:
    """Measure one after the other."""
    if not has("wrk"):
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        crowd = MakerCrowd(folder / "data", makers=1)
        with node(crowd.data) as board:
            yield from _check_ins(board.url, crowd.class_id, folder / "nginx")


def _check_ins(url: str, class_id: bytes, folder: Path) -> Iterator[Result]:
    path = f"/v1/checkin/{class_id.hex()}/stable"
    with HttpClient(url) as http:
        body = http.fetch(path)
    ours = requests_per_second(url + path)
    what = f"check-ins of {len(body):,} bytes"
    yield Result(
        what=what,
        unit="requests/s",
        ours=ours,
        against="the same through the application",
        # A query keeps a request from the short way; the answer is the same.
        theirs=requests_per_second(f"{url}{path}?long-way"),
    )
    if has("nginx"):
        with nginx(folder, path, body) as other:
            time.sleep(0.5)
            theirs = requests_per_second(other + path)
        against = "nginx, one worker, a static file"
        yield Result(what=what, unit="requests/s", ours=ours, against=against, theirs=theirs)
