# SPDX-License-Identifier: Apache-2.0
"""From a maker's post to the check-in that shows it, on an idle node, over HTTP.

The clock runs from the first byte of `rollout.set` until a check-in was read whole that carries it.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.makers import MakerCrowd
from benchmarks.measure import Result
from benchmarks.processes import node
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.client.publisher import submit_post
from fieldpost.client.transport import HttpClient
from fieldpost.records.head import decode_head
from fieldpost.records.limits import MAX_CHECKIN_BYTES

_TIMES = 200
_PAUSE_S = 0.1


def results() -> Iterator[Result]:
    """One after the other, with pauses."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        crowd = MakerCrowd(Path(name) / "data", makers=1)
        rollouts = crowd.rollouts(_TIMES)
        path = f"/v1/checkin/{crowd.class_id.hex()}/stable"
        waits: list[float] = []
        with node(crowd.data) as board, HttpClient(board.url) as http:
            for interval_s, post in rollouts:
                time.sleep(_PAUSE_S)
                began = time.perf_counter()
                submit_post(http, post)
                bundle = http.fetch(path)
                waits.append(time.perf_counter() - began)
                value = decode_bundle(bundle, most_bytes=MAX_CHECKIN_BYTES).value
                assert value is not None
                assert decode_head(value).interval_s == interval_s, "the check-in is an older one"
    waits.sort()
    what = "published to visible in a check-in, idle"
    yield Result(what=f"{what}, median", unit="ms", ours=waits[len(waits) // 2] * 1e3)
    p99 = waits[int(0.99 * len(waits))] * 1e3
    yield Result(what=f"{what}, 99 of 100", unit="ms", ours=p99, bar=100, at_most=True)
