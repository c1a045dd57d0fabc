# SPDX-License-Identifier: Apache-2.0
"""One image of 10 MB to a hundred devices at once, each byte hashed before it counts.

The node is a process of its own. The devices are threads of this process, each with its own folder
and connection, and run what an agent runs: `agent.download.download`, with its fsyncs and its
second reading of the file for the digest. The wait is that of a device, from its start to a
verified file. Their folders are in memory: a hundred devices have a hundred disks, and this machine
has one.
"""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from random import Random
from threading import Barrier

from benchmarks.makers import MakerCrowd
from benchmarks.measure import Result
from benchmarks.processes import node
from fieldpost.agent.download import Stored, blob_urls, download
from fieldpost.records.device_class import Encoding
from fieldpost.store.blobs import FileBlobs

_BYTES = 10_000_000
_DEVICES = 100
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - nothing of it is trusted


def results() -> Iterator[Result]:
    """All start in one moment."""
    image = Random(1).randbytes(_BYTES)
    stored = Stored(digest=sha256(image).digest(), size=_BYTES, encoding=Encoding.IDENTITY)
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd()) as name,
        tempfile.TemporaryDirectory(
            dir=_IN_MEMORY if _IN_MEMORY.is_dir() else Path.cwd()
        ) as devices,
    ):
        crowd = MakerCrowd(Path(name) / "data", makers=1)
        blobs = FileBlobs(crowd.data / "blobs")
        blobs.upload(stored.digest, 0, [image], size=_BYTES, maker=bytes(16))
        blobs.finish(stored.digest, size=_BYTES, maker=bytes(16))
        with node(crowd.data) as board:
            before, mine = board.cpu_s(), time.process_time()
            waits = sorted(_download_all(Path(devices), stored, board.url))
            spent, mine = board.cpu_s() - before, time.process_time() - mine
    what = "10 MB to 100 agents at once, verified"
    mean = sum(waits) / len(waits)
    yield Result(what=f"{what}, mean", unit="s", ours=mean, bar=1.5, at_most=True)
    yield Result(what="  the last of them", unit="s", ours=waits[-1])
    yield Result(what="  processor time of the node", unit="s", ours=spent)
    yield Result(what="  processor time of all agents", unit="s", ours=mine)


def _download_all(folder: Path, stored: Stored, url: str) -> list[float]:
    urls = blob_urls(stored, sources=(), boards=[url])
    ready = Barrier(_DEVICES)

    def one(number: int) -> float:
        mine = folder / f"device{number}"
        ready.wait()
        began = time.perf_counter()
        path = download(mine, stored, urls, timeout_s=60)
        taken = time.perf_counter() - began
        path.unlink()
        return taken

    with ThreadPoolExecutor(_DEVICES) as pool:
        return list(pool.map(one, range(_DEVICES)))
